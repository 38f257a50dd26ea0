"""Where the emulator does not do what AWS does, and our system would notice. Each gap has its line in docs/rig.md."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from ministack.core import iam_actions, lambda_runtime
from ministack.services import ecs, lambda_svc, s3, secretsmanager, stepfunctions
from ministack.services.cloudformation import provisioners

Properties = dict[str, Any]


#: The task token for which this thread calls a function at the moment.
_thread = threading.local()
SUFFIX = 6  # characters that Secrets Manager adds to a name


class Moved(RuntimeError):
    """The emulator is not the one that these mends were written for."""


def mend() -> None:
    """Mend them all. Raises Moved when the emulator's inside is not as it was."""
    _buckets()
    _functions()
    _waiting()
    _secrets()
    _tasks()
    _streams()


# buckets: Object Lock, encryption, lifecycle, ownership and access logs are dropped


def _buckets() -> None:
    handler = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    create, update = handler["create"], handler["update"]

    def created(logical_id: str, props: Properties, stack_name: str) -> Any:  # noqa: ANN401
        name, attributes = create(logical_id, props, stack_name)
        _configure(name, props)
        return name, attributes

    def updated(physical_id: str, old: Properties, new: Properties, stack_name: str) -> Any:  # noqa: ANN401
        name, attributes = update(physical_id, old, new, stack_name)
        _configure(name, new)
        return name, attributes

    handler["create"], handler["update"] = created, updated
    context = iam_actions._s3_object_context
    named = "x-amz-server-side-encryption-aws-kms-key-id"

    def with_key(action: str, query: Any, path: str, headers: Any) -> dict[str, Any]:  # noqa: ANN401
        """A bucket's policy may ask which key an object is put with."""
        found: dict[str, Any] = context(action, query, path, headers)
        return {**found, f"s3:{named}": headers[named]} if headers.get(named) else found

    iam_actions._s3_object_context = with_key


def _configure(name: str, props: Properties) -> None:
    lock = props.get("ObjectLockConfiguration")
    if props.get("ObjectLockEnabled") or lock:
        _accepted(s3._put_object_lock_configuration(name, _xml("ObjectLockConfiguration", lock or _ENABLED)))
    if "BucketEncryption" in props:
        rules = [
            {_RENAMED.get(key, key): value for key, value in rule.items()}
            for rule in props["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        ]
        _accepted(s3._put_bucket_encryption(name, _xml("ServerSideEncryptionConfiguration", {"Rule": rules})))
    if "OwnershipControls" in props:
        owner = {"Rule": props["OwnershipControls"]["Rules"]}
        _accepted(s3._put_bucket_ownership_controls(name, _xml("OwnershipControls", owner)))
    if "LifecycleConfiguration" in props:
        rules = [_lifecycle(rule) for rule in props["LifecycleConfiguration"]["Rules"]]
        _accepted(s3._put_bucket_lifecycle(name, _xml("LifecycleConfiguration", {"Rule": rules})))
    if "LoggingConfiguration" in props:
        log = props["LoggingConfiguration"]
        target = {"TargetBucket": log["DestinationBucketName"], "TargetPrefix": log.get("LogFilePrefix", "")}
        _accepted(s3._put_bucket_logging(name, _xml("BucketLoggingStatus", {"LoggingEnabled": target})))


_ENABLED = {"ObjectLockEnabled": "Enabled"}
_RENAMED = {"ServerSideEncryptionByDefault": "ApplyServerSideEncryptionByDefault"}


def _lifecycle(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A template's rule as PutBucketLifecycleConfiguration has it."""
    made: dict[str, Any] = {"ID": rule.get("Id", "rule"), "Filter": {"Prefix": rule.get("Prefix", "")}}
    made["Status"] = rule["Status"]
    if "ExpirationInDays" in rule:
        made["Expiration"] = {"Days": rule["ExpirationInDays"]}
    for key in ("AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration"):
        if key in rule:
            made[key] = rule[key]
    made["Transition"] = [
        {"Days": move["TransitionInDays"], "StorageClass": move["StorageClass"]} for move in rule.get("Transitions", [])
    ]
    return made


def _xml(name: str, content: Mapping[str, Any]) -> bytes:
    root = Element(name, xmlns=s3.S3_NS)
    _fill(root, content)
    return bytes(tostring(root, encoding="utf-8"))


def _fill(parent: Element, content: Mapping[str, Any]) -> None:
    for name, value in content.items():
        for item in value if isinstance(value, list) else [value]:
            made = SubElement(parent, name)
            if isinstance(item, dict):
                _fill(made, item)
            else:
                made.text = str(item).lower() if isinstance(item, bool) else str(item)


def _accepted(answer: tuple[Any, ...]) -> None:
    if answer[0] >= 400:
        raise ValueError(f"the bucket does not take it: {answer[2]!r}")


# functions: they run on the emulator's own interpreter; what raises loses its type; /opt and mounts are nowhere;
# reserved concurrency is dropped

_LAYERS = """
    for _name, _value in list(os.environ.items()):
        for _from, _to in [*json.loads(os.environ.get("RIG_MOUNTS", "{}")).items(),
                           *(("/opt", _l) for _l in os.environ.get("_LAMBDA_LAYERS_DIRS", "").split(os.pathsep) if _l)]:
            if _name != "RIG_MOUNTS" and (_value == _from or _value.startswith(_from + "/")):
                os.environ[_name] = _to + _value[len(_from):]
                break
"""


def _functions() -> None:
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    script = _replaced(script, "    os.environ.update(env)\n", "    os.environ.update(env)\n" + _LAYERS)
    script = _replaced(
        script,
        '"error": str(e), "trace": traceback.format_exc()',
        '"error": "\\x1f" + type(e).__name__ + "\\x1f" + str(e), "trace": traceback.format_exc()',
    )
    found = lambda_runtime._detect_runtime_binary

    def detect(runtime: str) -> tuple[str, str]:
        return (os.environ["RIG_FUNCTION_PYTHON"], script) if runtime.startswith("python") else found(runtime)

    lambda_runtime._detect_runtime_binary = detect
    _error_types()
    handler = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    create = handler["create"]

    def created(logical_id: str, props: Properties, stack_name: str) -> Any:  # noqa: ANN401
        name, attributes = create(logical_id, props, stack_name)
        if "ReservedConcurrentExecutions" in props:
            lambda_svc._functions[name]["concurrency"] = int(props["ReservedConcurrentExecutions"])
        return name, attributes

    handler["create"] = created


def _error_types() -> None:
    """The worker puts the exception's type in front of its message; whoever answers the caller takes it off again."""
    execute = lambda_svc._execute_function_warm

    def executed(func: Any, event: Any, request_id: str) -> Any:  # noqa: ANN401
        result = execute(func, event, request_id)
        body = result.get("body")
        if result.get("error") and isinstance(body, dict) and str(body.get("errorMessage", "")).startswith("\x1f"):
            _, kind, message = body["errorMessage"].split("\x1f", 2)
            body.update(errorType=kind, errorMessage=message)
        return result

    lambda_svc._execute_function_warm = executed


# Step Functions: TimeoutSecondsPath is not known, and a failing notifier leaves the execution waiting for ever


def _waiting() -> None:
    execute, invoke = stepfunctions._execute_task, stepfunctions._call_lambda
    callback = stepfunctions._invoke_with_callback

    def executed(state: Any, raw: Any, execution: Any, ctx: Any) -> Any:  # noqa: ANN401
        path = state.get("TimeoutSecondsPath")
        if path is not None:
            state = {**state, "TimeoutSeconds": stepfunctions._resolve_path(path, raw)}
        return execute(state, raw, execution, ctx)

    def called_back(resource: str, given: Any, token: str, state: Any) -> Any:  # noqa: ANN401
        _thread.token = token
        try:
            return callback(resource, given, token, state)
        finally:
            _thread.token = None

    def invoked(reference: str, event: Any) -> Any:  # noqa: ANN401
        try:
            return invoke(reference, event)
        except stepfunctions._ExecutionError as error:
            waiting = stepfunctions._task_tokens.get(getattr(_thread, "token", None))
            if waiting is not None:
                waiting["error"] = {"Error": error.error, "Cause": error.cause}
                waiting["event"].set()
            raise

    stepfunctions._execute_task = executed
    stepfunctions._invoke_with_callback = called_back
    stepfunctions._call_lambda = invoked


# secrets: the six characters after the name are of its making, so that a configuration can name them beforehand; and
# Ref is the ARN


def _secrets() -> None:
    store = secretsmanager._store_new_secret

    def stored(name: str, *values: Any, **options: Any) -> Any:  # noqa: ANN401
        arn, version = store(name, *values, **options)
        arn = arn[:-SUFFIX] + hashlib.sha256(name.encode()).hexdigest()[:SUFFIX]
        secretsmanager._secrets[name]["ARN"] = arn
        return arn, version

    handler = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    create = handler["create"]

    def created(logical_id: str, props: Properties, stack_name: str) -> Any:  # noqa: ANN401
        name, attributes = create(logical_id, props, stack_name)
        return secretsmanager._secrets[name]["ARN"], attributes

    secretsmanager._store_new_secret = stored
    handler["create"] = created


# task definitions: secrets, limits, volumes and the platform keep the template's spelling, which no client reads

_SPELLED = ("secrets", "linuxParameters", "ulimits")


def _tasks() -> None:
    normalize = provisioners._normalize_container_defs
    handler = provisioners._RESOURCE_HANDLERS["AWS::ECS::TaskDefinition"]
    create = handler["create"]

    def normalized(definitions: Any) -> Any:  # noqa: ANN401
        return [
            {name: provisioners._pascal_to_camel(value) if name in _SPELLED else value for name, value in one.items()}
            for one in normalize(definitions)
        ]

    def created(logical_id: str, props: Properties, stack_name: str) -> Any:  # noqa: ANN401
        arn, attributes = create(logical_id, props, stack_name)
        made = ecs._task_defs[arn.rpartition("/")[2]]
        volumes = [
            {
                "efsVolumeConfiguration" if name == "EFSVolumeConfiguration" else name: value
                for name, value in one.items()
            }
            for one in props.get("Volumes", [])
        ]
        made["volumes"] = provisioners._pascal_to_camel(volumes)
        made["runtimePlatform"] = provisioners._pascal_to_camel(props.get("RuntimePlatform", {}))
        return arn, attributes

    provisioners._normalize_container_defs = normalized
    handler["create"] = created


# logs: policies name a group's streams, the emulator asks for the group


def _streams() -> None:
    resolve = iam_actions.extract_resource_arn

    def resolved(service: str, method: str, path: str, headers: Any, body: bytes, *given: Any) -> Any:  # noqa: ANN401
        arn = resolve(service, method, path, headers, body, *given)
        stream = iam_actions._safe_json_field(body, "logStreamName") if service == "logs" else ""
        return f"{arn}:log-stream:{stream}" if stream else arn

    iam_actions.extract_resource_arn = resolved


def _replaced(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise Moved(f"the emulator's worker has {text.count(old)} times {old!r}, not once: look at rig/cloud/emulator")
    return text.replace(old, new)
