"""Claims: one of many callers succeeds, and a claim ends at its time."""

from chalicelib.adapters.aws.coordination.claims import DynamoDbClaims
from chalicelib.entry.services import Services


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def test_claim_holds_for_all_processes_until_it_expires(services: Services) -> None:
    # Given
    clock = Clock()
    mine, others = (DynamoDbClaims(services.dynamodb, services.settings.table("coordination"), clock) for _ in range(2))
    assert not mine.held("told")

    # When
    assert mine.claim("told", clock.now + 60)

    # Then
    assert not others.claim("told", clock.now + 60)
    assert mine.held("told")
    assert others.held("told")

    # When it expires
    clock.now += 61

    # Then it holds for no process, including those that have cached it
    assert not mine.held("told")
    assert not others.held("told")
    assert others.claim("told", clock.now + 60)
    assert mine.held("told")
