"""What every function is, whichever stack it is in."""

from tests.stacks.deployment import Deployment


def test_functions_are_the_table(deployed: Deployment) -> None:
    functions = deployed.properties("AWS::Lambda::Function")
    assert functions
    for id, function in functions.items():
        name = function["Handler"].split(".")[1]
        assert id == "".join(part.capitalize() for part in name.split("_")) + "Function"
        assert function["FunctionName"] == f"blastwall-{name.replace('_', '-')}"
        assert function["Handler"] == f"lambdas.{name}.handler.handler"


def test_all_share_one_asset(deployed: Deployment) -> None:
    assets = {str(function["Code"]["S3Key"]) for function in deployed.properties("AWS::Lambda::Function").values()}
    assert len(assets) == 1


def test_no_configuration_or_code_crosses_stacks(every: list[Deployment]) -> None:
    """An exported layer could not be replaced while another stack imports it: no configuration could ever change."""
    for deployment in every:
        for template in deployment.templates.values():
            for output in template.get("Outputs", {}).values():
                assert "Configuration" not in str(output), "a layer or an asset is exported"
