from blastwall.audit.columns import PARTITIONS, PREFIX, TABLE, hive_columns
from tests.stacks.deployment import Deployment


def test_the_table_has_the_columns_that_events_have(deployed: Deployment) -> None:
    (table,) = deployed.properties("AWS::Glue::Table").values()
    made = table["TableInput"]
    assert made["Name"] == TABLE
    columns = {column["Name"]: column["Type"] for column in made["StorageDescriptor"]["Columns"]}
    assert columns == hive_columns()
    assert {key["Name"]: key["Type"] for key in made["PartitionKeys"]} == dict(PARTITIONS)


def test_partitions_are_computed_and_start_where_the_sink_puts_them(deployed: Deployment) -> None:
    (table,) = deployed.properties("AWS::Glue::Table").values()
    made = table["TableInput"]
    assert made["Parameters"]["projection.enabled"] == "true"
    for name in PARTITIONS:
        assert f"projection.{name}.type" in made["Parameters"]
        assert f"{name}=${{{name}}}" in str(made["Parameters"]["storage.location.template"])
    assert str(made["StorageDescriptor"]["Location"]).count(PREFIX) == 1


def test_results_are_encrypted_and_nobody_can_say_otherwise(deployed: Deployment) -> None:
    (group,) = deployed.properties("AWS::Athena::WorkGroup").values()
    how = group["WorkGroupConfiguration"]
    assert how["EnforceWorkGroupConfiguration"] is True
    assert how["ResultConfiguration"]["EncryptionConfiguration"]["EncryptionOption"] == "SSE_KMS"


def test_the_log_of_events_is_tagged_kept_and_encrypted(deployed: Deployment) -> None:
    log = deployed.all("AWS::Logs::LogGroup", "Audit")["Log"]
    tags = {tag["Key"]: tag["Value"] for tag in log["Properties"]["Tags"]}
    assert tags == {"cw:datasource:name": "blastwall", "cw:datasource:type": "audit"}
    assert log["DeletionPolicy"] == "Retain" and "KmsKeyId" in log["Properties"]
