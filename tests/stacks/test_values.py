import pytest

from stacks.values import Values


def test_a_settings_class_gets_the_values_by_the_names_of_its_fields() -> None:
    values = Values()
    values.put("recordings_bucket", "bucket")
    values.put("spool", "/spool")
    values.put("manifest_key_id", "key")
    values.put("unrelated", "x")
    environment = values.environment("RecordingSettings")
    assert environment["BLASTWALL_RECORDINGS_BUCKET"] == "bucket"
    assert environment["BLASTWALL_SEGMENT_SECONDS"] == "2.0"
    assert not any("UNRELATED" in name for name in environment)


def test_a_required_field_without_a_value_is_named() -> None:
    values = Values()
    values.put("spool", "/spool")
    with pytest.raises(LookupError, match=r"RecordingSettings.recordings_bucket"):
        values.environment("RecordingSettings")


@pytest.mark.parametrize("name", ["NoSuchSettings", "Environment", "Path", "_text"])
def test_what_is_no_settings_class_is_refused(name: str) -> None:
    with pytest.raises(LookupError, match=name):
        Values().environment(name)


def test_resources_resolve_in_order_and_unknown_ones_are_named() -> None:
    values = Values()
    values.own("table", "arn:1")
    values.own("indexes", "arn:1/index/*")
    values.own("nothing")
    assert values.resolve(["indexes", "nothing", "table"]) == ["arn:1/index/*", "arn:1"]
    with pytest.raises(LookupError, match=r"'bucket'.*indexes, nothing, table"):
        values.resolve(["bucket"])
