"""Measured figures behind the table of costs. ``make costs`` measures them again and prints both."""

MACHINE = "2 cores of a virtual machine, Python 3.11"
CPU = {"report": 0.0040, "drain of 1": 0.0080, "drain of 10": 0.0120}
"""Seconds of CPU of a warm invocation, on one core: of the API for a report, and of a forwarder for a drain.

The highest of three runs on 2026-11-28, rounded up to half a millisecond. On a busy machine, a third more is usual.
"""
CALL = 0.008
"""Assumed seconds of an AWS call inside a region."""
CONFIRM = 0.005
"""Assumed seconds from a publish to its confirm."""
FULL_CORE = 1769
"""MB of a Lambda function that has one core; a smaller one has its share."""
ACCESS_LOG = 226
"""Bytes of a line of the API's access log, with what CloudWatch Logs adds."""
POLL_LOG = 700
"""Bytes of a poll's lines in CloudWatch Logs."""
MINUTES_OF_A_MONTH = 730 * 60
