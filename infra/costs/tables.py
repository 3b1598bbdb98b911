"""Tables of costs, as infra/README.md shows them."""

from collections.abc import Sequence

from infra.costs import idle
from infra.costs.measured import CPU
from infra.costs.polls import Minute
from infra.costs.prices import AS_OF
from infra.costs.reports import GOALS, bill, memory_of
from infra.costs.uplinks import Usage


def of_reports(used: Sequence[tuple[int, Usage, Usage]]) -> list[str]:
    """Return the lines of the table per million reports.

    ``used``: for each column the number of reports, the usage of their posts and that of their drain.
    """
    bills = [bill(accepted, drained, reports, CPU) for reports, accepted, drained in used]
    numbers = [reports for reports, *_ in used]
    names = ["one report a drain" if reports == 1 else f"{reports} reports" for reports in numbers]
    lines = [f"| per million reports, prices of {AS_OF} | {' | '.join(names)} |", "| --- |" + " --- |" * len(bills)]
    for line in bills[0].dollars:
        title = line
        if line in bills[0].functions:
            each = [made.functions[line] for made in bills]
            title += f": {each[0].memory} MB, {' and '.join(f'{1000 * one.seconds:.0f}' for one in each)} ms"
        lines.append(f"| {title} | {' | '.join(f'{made.dollars[line]:.2f}' for made in bills)} |")
    lines.append(f"| **together, dollars** | {' | '.join(f'**{made.total:.2f}**' for made in bills)} |")
    lines.append(f"| together on arm64 | {' | '.join(f'{made.total_on_arm:.2f}' for made in bills)} |")
    lines.append(f"| goal | {' | '.join(f'{GOALS[reports]:.2f}' for reports in numbers)} |")
    return lines


def of_idle_connections(minutes: Sequence[tuple[int, Minute]]) -> list[str]:
    """Return the lines of the table per idle connection and month. ``minutes``: (tenants, minute) of each group."""
    bills = [(tenants, idle.bill(minute)) for tenants, minute in minutes]
    names = [_group(made.connections, tenants) for tenants, made in bills]
    lines = [f"| per connection and month | {' | '.join(names)} |", "| --- |" + " --- |" * len(bills)]
    for line in bills[0][1].lines:
        title = f"{line}: {memory_of('consume')} MB" if line == "consumer function" else line
        lines.append(f"| {title} | {' | '.join(f'{made.lines[line]:.2f}' for _, made in bills)} |")
    lines.append(f"| **together, dollars** | {' | '.join(f'**{made.total:.2f}**' for _, made in bills)} |")
    lines.append(f"| together on arm64 | {' | '.join(f'{made.total_on_arm:.2f}' for _, made in bills)} |")
    lines.append(f"| goal | {' | '.join(f'{idle.GOALS[made.connections]:.2f}' for _, made in bills)} |")
    return lines


def _group(connections: int, tenants: int) -> str:
    if connections == 1:
        return "alone"
    return f"{connections} of {tenants} tenant{'' if tenants == 1 else 's'}"
