from stacks.ports import LOWEST, inside


def test_only_ports_that_nobody_may_take_are_moved() -> None:
    assert [inside(port) for port in (22, 443, 1023)] == [20_022, 20_443, 21_023]
    assert [inside(port) for port in (LOWEST, 3306, 5432, 8080)] == [LOWEST, 3306, 5432, 8080]
