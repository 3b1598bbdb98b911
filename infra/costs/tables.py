"""Tables of costs, as infra/README.md shows them."""

from collections.abc import Sequence

from infra.costs import idle, message_log, notifications
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


def of_message_log(used: Sequence[tuple[int, Usage, Usage]], logs: Sequence[message_log.LogUsage]) -> list[str]:
    """Return the lines about the message log's share of a million reports. ``used``: as for ``of_reports``."""
    totals = [bill(accepted, drained, reports, CPU).total for reports, accepted, drained in used]
    dollars = [message_log.dollars(log) for log in logs]
    shares = [100 * each / total for each, total in zip(dollars, totals, strict=True)]
    names = ["one report a drain" if log.reports == 1 else f"{log.reports} reports" for log in logs]
    return [
        f"| message log, per million reports | {' | '.join(names)} |",
        "| --- |" + " --- |" * len(logs),
        f"| writes that it adds, dollars | {' | '.join(f'{message_log.writes(log):.2f}' for log in logs)} |",
        f"| storage for 60 days, dollars | {' | '.join(f'{message_log.storage(log):.2f}' for log in logs)} |",
        f"| **share of a report's price, percent** | {' | '.join(f'**{share:.1f}**' for share in shares)} |",
        f"| goal | {' | '.join([f'{message_log.GOAL:.1f}'] * len(logs))} |",
    ]


def of_notifications(minute: notifications.NotificationUsage, sent: notifications.NotificationUsage) -> list[str]:
    """Return the lines about notifications: a million that are sent, each by itself, and a month without any."""
    each, month = notifications.bill_of_sent(sent), notifications.bill_of_month(minute)
    lines = ["| notifications | dollars |", "| --- | --- |"]
    lines += [f"| a million sent: {name} | {1_000_000 * dollars:.2f} |" for name, dollars in each.items()]
    lines.append(f"| **a million sent, together** | **{1_000_000 * sum(each.values()):.2f}** |")
    lines += [f"| a month without any: {name} | {dollars:.2f} |" for name, dollars in month.items()]
    return lines


def _group(connections: int, tenants: int) -> str:
    if connections == 1:
        return "alone"
    return f"{connections} of {tenants} tenant{'' if tenants == 1 else 's'}"
