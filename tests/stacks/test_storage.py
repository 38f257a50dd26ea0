"""What outlives the gateway is locked, encrypted with our keys, recoverable, closed to the public, and stays."""

from tests.stacks.deployment import Deployment, listed

LOCKED = ("RecordingsBucket", "EventsBucket", "UndoBucket")


def test_recordings_and_events_are_locked_and_versioned(every: list[Deployment]) -> None:
    for deployment in every:
        buckets = deployment.properties("AWS::S3::Bucket")
        for name in LOCKED:
            bucket = buckets[name]
            assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
            assert bucket["ObjectLockEnabled"] is True
            retention = bucket["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
            assert retention["Mode"] in ("GOVERNANCE", "COMPLIANCE") and retention["Days"] >= 1
            (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
            assert encryption["BucketKeyEnabled"] is True


def test_the_lock_is_as_long_and_as_hard_as_chosen(deployed: Deployment, isolated: Deployment) -> None:
    def retention(deployment: Deployment) -> tuple[str, int]:
        rule = deployment.properties("AWS::S3::Bucket")["RecordingsBucket"]["ObjectLockConfiguration"]["Rule"]
        return rule["DefaultRetention"]["Mode"], rule["DefaultRetention"]["Days"]

    assert retention(deployed) == ("GOVERNANCE", 365)
    assert retention(isolated) == ("COMPLIANCE", 30)


def test_nothing_expires_while_it_is_locked(every: list[Deployment]) -> None:
    for deployment in every:
        for name in LOCKED:
            bucket = deployment.properties("AWS::S3::Bucket")[name]
            days = bucket["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]["Days"]
            (rule,) = bucket["LifecycleConfiguration"]["Rules"]
            assert rule["ExpirationInDays"] > days
            assert all(move["TransitionInDays"] < days for move in rule.get("Transitions", []))


def test_what_expires_is_gone_and_not_only_hidden(every: list[Deployment]) -> None:
    """In a bucket with versions, expiry alone hides an object, and keeps it for good."""
    for deployment in every:
        for name, bucket in deployment.properties("AWS::S3::Bucket").items():
            rules = bucket["LifecycleConfiguration"]["Rules"]
            assert rules and all(rule["NoncurrentVersionExpiration"]["NoncurrentDays"] for rule in rules), name
            assert any("AbortIncompleteMultipartUpload" in rule for rule in rules), name


def test_what_athena_answers_is_kept_for_a_month(deployed: Deployment) -> None:
    (group,) = deployed.properties("AWS::Athena::WorkGroup").values()
    place = group["WorkGroupConfiguration"]["ResultConfiguration"]["OutputLocation"]
    rules = deployed.properties("AWS::S3::Bucket")["AccessLog"]["LifecycleConfiguration"]["Rules"]
    (results,) = [rule for rule in rules if "Prefix" in rule]
    assert str(place["Fn::Join"][1][-1]).endswith(f"/{results['Prefix']}") and results["ExpirationInDays"] == 30


def test_access_logs_come_from_this_account_alone(every: list[Deployment]) -> None:
    for deployment in every:
        policies = deployment.properties("AWS::S3::BucketPolicy").values()
        (policy,) = [policy for policy in policies if "AccessLog" in str(policy["Bucket"])]
        (own,) = [item for item in policy["PolicyDocument"]["Statement"] if item.get("Sid") == "OwnLogsOnly"]
        assert (own["Effect"], own["Principal"]) == ("Deny", {"Service": "logging.s3.amazonaws.com"})
        assert own["Condition"] == {"StringNotEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_no_bucket_is_public_and_each_takes_tls_only(every: list[Deployment]) -> None:
    for deployment in every:
        buckets = deployment.properties("AWS::S3::Bucket")
        assert set(buckets) == {*LOCKED, "AccessLog"}
        for bucket in buckets.values():
            assert all(bucket["PublicAccessBlockConfiguration"].values())
            assert len(bucket["PublicAccessBlockConfiguration"]) == 4
            assert "AccessControl" not in bucket
        policies = deployment.properties("AWS::S3::BucketPolicy").values()
        assert len(policies) == len(buckets)
        for policy in policies:
            denied = [item for item in policy["PolicyDocument"]["Statement"] if item["Effect"] == "Deny"]
            assert any(item.get("Condition", {}).get("Bool") == {"aws:SecureTransport": "false"} for item in denied)
            assert any("s3:TlsVersion" in str(item.get("Condition")) for item in denied)


def test_objects_with_another_key_are_refused(deployed: Deployment) -> None:
    for policy in deployed.properties("AWS::S3::BucketPolicy").values():
        statements = {item.get("Sid"): item for item in policy["PolicyDocument"]["Statement"]}
        if "AccessLog" in str(policy["Bucket"]):
            continue
        kind = "s3:x-amz-server-side-encryption"  # AES256 would be S3's own key, and none of ours
        for sid, header in (("OnlyOurKey", f"{kind}-aws-kms-key-id"), ("OnlyKms", kind)):
            assert statements[sid]["Effect"] == "Deny"
            assert statements[sid]["Action"] == "s3:PutObject"
            condition = statements[sid]["Condition"]
            assert condition["Null"] == {header: "false"}  # naming no key is no other key: the bucket's own is used
            assert set(condition["StringNotEquals"]) == {header} and len(condition) == 2
        assert statements["OnlyKms"]["Condition"]["StringNotEquals"] == {kind: "aws:kms"}


def test_tables_are_recoverable_encrypted_and_expire_by_themselves(deployed: Deployment) -> None:
    tables = deployed.properties("AWS::DynamoDB::Table")
    assert set(tables) == {"SessionsTable", "LeasesTable", "ApprovalsTable"}
    for name, table in tables.items():
        assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
        assert table["SSESpecification"]["SSEType"] == "KMS" and table["SSESpecification"]["SSEEnabled"] is True
        assert "KMSMasterKeyId" in table["SSESpecification"]
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["DeletionProtectionEnabled"] is True
        assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}, name


def test_the_tables_keys_are_what_the_adapters_read(deployed: Deployment) -> None:
    tables = deployed.properties("AWS::DynamoDB::Table")

    def keys(schema: list[dict]) -> list[str]:
        return [key["AttributeName"] for key in schema]

    def indexes(name: str) -> dict[str, list[str]]:
        found = tables[name].get("GlobalSecondaryIndexes", [])
        assert all(index["Projection"] == {"ProjectionType": "ALL"} for index in found)
        return {index["IndexName"]: keys(index["KeySchema"]) for index in found}

    assert keys(tables["SessionsTable"]["KeySchema"]) == ["id"]
    assert indexes("SessionsTable") == {"by_agent": ["agent"]}
    assert keys(tables["LeasesTable"]["KeySchema"]) == ["session", "lease"]
    assert indexes("LeasesTable") == {"by_state": ["state", "expires_at"]}
    assert keys(tables["ApprovalsTable"]["KeySchema"]) == ["id"]
    assert indexes("ApprovalsTable") == {"by_state": ["state", "requested_at"], "by_agent": ["agent", "requested_at"]}


def test_keys_rotate_and_the_manifest_key_only_signs(deployed: Deployment) -> None:
    keys = deployed.properties("AWS::KMS::Key")
    assert set(keys) == {"Key", "TokenKey", "ManifestKey", "UndoKey"}
    assert all(keys[name]["EnableKeyRotation"] is True for name in ("Key", "TokenKey", "UndoKey"))
    assert (keys["ManifestKey"]["KeySpec"], keys["ManifestKey"]["KeyUsage"]) == ("ECC_NIST_P256", "SIGN_VERIFY")


def test_no_key_is_open_to_everybody(deployed: Deployment) -> None:
    for key in deployed.properties("AWS::KMS::Key").values():
        for statement in key["KeyPolicy"]["Statement"]:
            assert statement["Principal"] != "*" and statement["Principal"] != {"AWS": "*"}
            if "Service" in statement["Principal"]:
                assert statement["Condition"], "a service may use the key for this account's resources only"


def test_the_spool_is_encrypted_and_asks_who_mounts_it(deployed: Deployment) -> None:
    (system,) = deployed.properties("AWS::EFS::FileSystem").values()
    assert system["Encrypted"] is True and "KmsKeyId" in system
    assert system["ThroughputMode"] == "elastic"
    allowed, denied = system["FileSystemPolicy"]["Statement"]
    assert allowed["Effect"] == "Allow" and ":root" in str(allowed["Principal"])
    assert set(listed(allowed["Action"])) == {"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"}
    assert denied["Effect"] == "Deny" and denied["Condition"]["Bool"] == {"aws:SecureTransport": "false"}
    (access,) = deployed.properties("AWS::EFS::AccessPoint").values()
    assert access["PosixUser"] == {"Uid": "10001", "Gid": "10001"}
    assert access["RootDirectory"]["CreationInfo"]["Permissions"] == "0700"


def test_data_stays_when_its_stack_goes(every: list[Deployment]) -> None:
    kept = ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::EFS::FileSystem")
    for deployment in every:
        for type_ in kept:
            for name, resource in deployment.all(type_).items():
                assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain"), name


def test_what_changes_overwrote_is_put_and_sealed_by_tasks_and_opened_by_nobody_here(every: list[Deployment]) -> None:
    for deployment in every:
        (keep,) = [item for item in deployment.roles["TaskRole"] if item.get("Sid") == "KeepCapsules"]
        assert keep["Action"] == "s3:PutObject" and "UndoBucket" in str(keep["Resource"])
        assert "/undo/*" in str(keep["Resource"])
        for role, statements in deployment.roles.items():
            for statement in statements:
                touched = str(statement["Resource"])
                if "UndoKey" in touched:
                    assert (role, listed(statement["Action"])) == ("TaskRole", ["kms:GenerateDataKey"])
                if "UndoBucket" in touched:
                    assert statement["Sid"] == "KeepCapsules", role
        days = deployment.properties("AWS::S3::Bucket")["UndoBucket"]["ObjectLockConfiguration"]["Rule"]
        assert days["DefaultRetention"]["Days"] == 30, "a target's data is not kept for a year"


#: Logical ids of what holds something that nobody can make again. Under another id CloudFormation makes an empty one,
#: and the gateway begins anew beside what it knew: recordings, sessions, keys, masks. So they never change.
KEPT = {
    "Data": {
        *("Key961B73FD", "TokenKeyD1D1A236", "ManifestKey4F2C3D93", "UndoKeyAC53DA87", "GatewayKeyF0A18B80"),
        *("MaskingKey3E539EA1", "AccessLogD598EBE9", "RecordingsBucketB0C8199F", "UndoBucketF080F50C"),
        *("SessionsTableE8094FB2", "LeasesTableEB3BF80C", "ApprovalsTable276D8822", "SignInsTable6886C498"),
        "SpoolAE8DEF48",
    },
    "Audit": {"EventsBucket147CB497", "Log95422804"},
}


def test_what_stays_keeps_its_id_from_one_version_to_the_next(given: Deployment) -> None:
    """``given`` has everything that there may be. A resource more is a line more here."""
    for stack, template in given.templates.items():
        kept = {id for id, item in template["Resources"].items() if item.get("DeletionPolicy") == "Retain"}
        assert kept == KEPT.get(stack, set()), stack
        assert all(template["Resources"][id]["UpdateReplacePolicy"] == "Retain" for id in kept)


def test_the_masking_key_is_generated_once(given: Deployment) -> None:
    """CloudFormation generates another value whenever this part of the template changes, and every mask with it."""
    (secret,) = given.properties("AWS::SecretsManager::Secret").values()
    assert secret["GenerateSecretString"] == {"ExcludePunctuation": True, "PasswordLength": 64}
