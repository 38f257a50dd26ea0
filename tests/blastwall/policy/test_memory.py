from __future__ import annotations

from blastwall.policy.memory import Memory


def test_it_never_holds_more_than_twice_its_size() -> None:
    memory: Memory[int, int] = Memory(10)
    for number in range(1000):
        memory.put(number, number)
        assert len(memory) <= 20


def test_the_entries_used_last_survive() -> None:
    memory: Memory[int, int] = Memory(10)
    for number in range(1000):
        memory.put(number, number)
        assert memory.get(0) == 0, "asked for all the time, so never dropped"
    assert [number for number in range(990, 1000) if memory.get(number) == number] == list(range(990, 1000))
    assert memory.get(500) is None


def test_a_new_value_replaces_the_old_one() -> None:
    memory: Memory[str, int] = Memory(2)
    for value in range(5):
        memory.put("key", value)
        memory.put(f"other {value}", 0)
    assert memory.get("key") == 4
