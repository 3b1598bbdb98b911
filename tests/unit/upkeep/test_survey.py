"""The groups of connections that the survey of a run makes for polls."""

from chalicelib.domain.connection import Connection
from chalicelib.upkeep.survey import HEAVY, POLL_WEIGHT, Survey
from tests.unit.flow import Flow

MASKED = "*****"


def survey_of(flow: Flow, number: int, **secrets: str) -> Survey:
    survey = Survey(flow.now, 0)
    for each in range(number):
        add(survey, flow.state(), f"c{each:04}", **secrets)
    return survey


def add(survey: Survey, like: Connection, connection_id: str, **secrets: str) -> None:
    changed = {"id": connection_id, "configuration": like.configuration.model_copy(update=secrets)}
    survey.note(like.model_copy(update=changed), lambda _: False)


def sizes(survey: Survey) -> list[int]:
    return [len(job) for job in survey.jobs()]


def test_poll_has_up_to_200_connections(flow: Flow) -> None:
    assert sizes(survey_of(flow, 0)) == []
    assert sizes(survey_of(flow, POLL_WEIGHT)) == [200]
    survey = survey_of(flow, 2 * POLL_WEIGHT + 1)
    assert sizes(survey) == [200, 200, 1]
    assert [target.connection_id for job in survey.jobs() for target in job] == [f"c{each:04}" for each in range(401)]


def test_poll_has_fewer_connections_that_need_more_memory(flow: Flow) -> None:
    # Given connections with a client certificate: some trust the system's CAs, others their own
    system = survey_of(flow, 51, certificate=MASKED, private_key=MASKED)
    own = survey_of(flow, 51, certificate=MASKED, private_key=MASKED, trusted_ca_certificate=MASKED)
    # Then a poll has a quarter as many of the former
    assert sizes(system) == [POLL_WEIGHT // HEAVY, 1]
    assert sizes(own) == [51]


def test_poll_adds_up_the_memory_of_different_connections(flow: Flow) -> None:
    survey = survey_of(flow, 49, certificate=MASKED, private_key=MASKED)
    for each in range(5):
        add(survey, flow.state(), f"d{each}")
    assert sizes(survey) == [53, 1]
