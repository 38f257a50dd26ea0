from stacks.monitoring import ALARMS
from tests.stacks.deployment import Deployment


def alarms(deployment: Deployment) -> dict[str, dict]:
    return deployment.properties("AWS::CloudWatch::Alarm")


def test_every_alarm_tells_somebody_and_says_what_it_means(every: list[Deployment]) -> None:
    for deployment in every:
        for name, alarm in alarms(deployment).items():
            assert len(alarm["AlarmActions"]) == 1, name
            assert len(alarm["AlarmDescription"].split()) >= 4, name
            assert alarm["TreatMissingData"] == "notBreaching"


def test_the_table_of_alarms_is_deployed_for_the_functions_that_are(deployed: Deployment) -> None:
    handlers = {item["Handler"].split(".")[1] for item in deployed.properties("AWS::Lambda::Function").values()}
    for name, row in ALARMS.items():
        made = alarms(deployed).get(name)
        assert (made is not None) == (row["service"] in {*handlers, "gateway"}), name
        if made is not None:
            assert (made["Namespace"], made["MetricName"]) == ("Blastwall", row["metric"])
            assert made["Dimensions"] == [{"Name": "service", "Value": row["service"]}]


def test_each_function_that_fails_and_each_run_that_was_given_up_is_noticed(deployed: Deployment) -> None:
    for id in deployed.properties("AWS::Lambda::Function"):
        assert f"{id.removesuffix('Function')}Errors" in alarms(deployed)
    queues = deployed.properties("AWS::SQS::Queue")
    for id in queues:
        assert f"{id.removesuffix('DeadLetters')}Undelivered" in alarms(deployed)


def test_an_address_is_subscribed_where_one_is_given(deployed: Deployment, given: Deployment) -> None:
    assert not deployed.all("AWS::SNS::Subscription")
    (subscription,) = given.properties("AWS::SNS::Subscription").values()
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "oncall@example.com")
