"""Findings of checkov are compared with the table of answers."""

from infra.deploy.lint import ANSWERS, Answer, Finding, answers, differences

TABLE = """
| check | resources | answer |
| --- | --- | --- |
| `CKV_AWS_1` | `AWS::A.*` | because |
| `CKV2_AWS_2` | `AWS::B.One`, `AWS::B.Two` | because |
"""


def test_rows_of_the_table_are_read() -> None:
    assert answers(TABLE) == [
        Answer("CKV_AWS_1", "AWS::A.*"),
        Answer("CKV2_AWS_2", "AWS::B.One"),
        Answer("CKV2_AWS_2", "AWS::B.Two"),
    ]


def test_finding_without_an_answer_and_answer_without_a_finding_are_named() -> None:
    found = [
        Finding("CKV_AWS_1", "AWS::A.Any"),
        Finding("CKV2_AWS_2", "AWS::B.One"),
        Finding("CKV_AWS_1", "AWS::C.New"),
    ]
    assert list(differences(found, answers(TABLE))) == [
        "CKV_AWS_1 of AWS::C.New: fix it, or answer it in docs/operations/security-findings.md.",
        "CKV2_AWS_2 of AWS::B.Two is not found any more: remove its row.",
    ]


def test_every_row_has_a_reason() -> None:
    rows = [line for line in ANSWERS.read_text(encoding="utf-8").splitlines() if line.startswith("| `CKV")]
    assert len(rows) == len(answers("\n".join(rows)))
    assert all(len(row.split("|")[3].strip()) > 20 for row in rows)
