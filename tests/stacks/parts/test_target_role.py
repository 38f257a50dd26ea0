import pytest

from stacks.parts.target_role import made_here


@pytest.mark.parametrize(
    ("arn", "ours"),
    [
        ("arn:aws:iam::123456789012:role/blastwall/reader", True),
        ("arn:aws:iam::123456789012:policy/blastwall/reader-denials", True),
        ("arn:aws:iam::123456789012:role/reader", False),
        ("arn:aws:iam::123456789012:role/blastwall", False),
        ("arn:aws:iam::123456789012:role/team/blastwall/reader", False),
        ("arn:aws:iam::123456789012:role/blastwall/deeper/reader", False),
        ("arn:aws:iam::123456789012:user/blastwall/reader", False),
    ],
)
def test_only_our_own_path_is_made_here(arn: str, ours: bool) -> None:
    assert made_here(arn) is ours
