"""Calls that the page copies as curl commands, and the columns of a connection test, in a browser."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.client import Stack, eventually
from tests.e2e.console import Console, console_in

NAME = "O'Brien's \"site\" $(touch pwned) `id` \\ !"
"""A name that a shell would misread without quotes."""


@pytest.fixture
def console(browser: Browser, stack: Stack) -> Iterator[Console]:
    with console_in(browser, stack, permissions=["clipboard-read", "clipboard-write"]) as opened:
        opened.open()
        yield opened


@pytest.fixture(scope="module")
def connection(stack: Stack) -> Iterator[dict[str, Any]]:
    made = stack.connect(NAME, stack.configuration(downlinkEnabled=False, description="line 1\nline 2 'quoted'"))
    yield made
    stack.api("DELETE", f"/connections/{made['id']}")


def clipboard(console: Console) -> str:
    return str(console.page.evaluate("navigator.clipboard.readText()"))


def copied(console: Console, button: str) -> str:
    """Click a button and return the command in the clipboard, which must have no secret."""
    console.page.evaluate("navigator.clipboard.writeText('nothing')")
    console.button(button).click()
    expect(console.page.get_by_role("status")).to_contain_text("The command has been copied.")
    # An earlier notification can still be there.
    eventually(lambda: clipboard(console) != "nothing", "the command is in the clipboard")
    command = clipboard(console)
    assert console.stack.info["token"] not in command
    assert console.stack.info["amqp"]["password"] not in command
    assert '"Authorization: Bearer $TOKEN"' in command
    return command


def run_in_shell(command: str, token: str, directory: Path) -> Any:
    """Run the command in a shell with TOKEN set, and return the JSON of the answer."""
    run = subprocess.run(
        ["sh", "-c", command], cwd=directory, env={"PATH": "/usr/bin:/bin", "TOKEN": token}, capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert list(directory.iterdir()) == []
    return json.loads(run.stdout)


def test_calls_of_a_connection_are_copied_as_commands(
    console: Console, connection: dict[str, Any], tmp_path: Path
) -> None:
    token, path = console.stack.info["token"], f"/connections/{connection['id']}"
    console.stack.wait_open(connection["id"])
    console.show(connection["id"])
    read = run_in_shell(copied(console, "Copy reading as curl"), token, tmp_path)
    assert (read["id"], read["name"]) == (connection["id"], NAME)

    tested = run_in_shell(copied(console, "Copy the test as curl"), token, tmp_path)
    assert tested["ok"] is True

    # Replacing a connection with its own settings changes nothing and keeps its secrets.
    before = console.stack.api("GET", path).json
    replaced = run_in_shell(copied(console, "Copy replacing as curl"), token, tmp_path)
    assert replaced["name"] == NAME
    assert replaced["configuration"] == before["configuration"]
    console.stack.wait_open(connection["id"])
    assert console.stack.api("POST", f"{path}/test", {}).json["ok"] is True


def test_search_of_messages_is_copied_with_its_filters(console: Console, tmp_path: Path) -> None:
    console.page.get_by_role("link", name="Messages").click()
    console.field("DevEUI").fill("20:63:5f:00:c5:00:00:07")
    console.field("Status").select_option("failed")
    command = copied(console, "Copy as curl")
    assert "/messages?devEUI=20635F00C5000007&status=failed&limit=50'" in command
    assert run_in_shell(command, console.stack.info["token"], tmp_path) == []


def test_command_is_shown_if_the_clipboard_is_out_of_reach(console: Console, connection: dict[str, Any]) -> None:
    console.show(connection["id"])
    console.page.evaluate(
        "Object.defineProperty(navigator, 'clipboard', {value: {writeText: () => Promise.reject(new Error())}})"
    )
    console.button("Copy reading as curl").click()
    expect(console.page.get_by_role("dialog").locator("pre")).to_contain_text(f"connections/{connection['id']}'")


@pytest.mark.parametrize("width", [375, 1440])
def test_steps_of_a_connection_test_are_aligned_in_columns(
    browser: Browser, stack: Stack, connection: dict[str, Any], width: int
) -> None:
    with console_in(browser, stack, viewport={"width": width, "height": 900}) as console:
        console.open()
        console.show(connection["id"])
        console.button("Test connection").click()
        expect(console.page.get_by_text("All checks passed.")).to_be_visible()
        edges: dict[str, list[float]] = console.page.evaluate(
            """() => Object.fromEntries(
                [["step-name", "left"], ["step-state", "left"], ["step-time", "right"], ["step-detail", "left"]].map(
                    ([name, edge]) => [name, [...document.querySelectorAll(`.steps .${name}`)].map(
                        (each) => Math.round(each.getBoundingClientRect()[edge]))]))"""
        )
    assert all(len(each) >= 4 for each in edges.values())
    assert {name: len(set(each)) for name, each in edges.items()} == dict.fromkeys(edges, 1)
