"""``clipline redrive``: the messages that were given up, for people to see and to return."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from clipline.contract.errors import CliplineError, ConfigurationError, UnreadableRequest
from clipline.contract.interval import iso
from clipline.contract.text import shorten
from clipline.pipeline.job import Job
from clipline.pipeline.ports import DeadLetter, DeadLetters

_UNEXPLAINED = "none yet: whoever had it died without a word; a worker will tell of it"


def redrive(
    store: DeadLetters, names: Sequence[str], *, everything: bool, remove: bool, as_json: bool
) -> None:
    """List the letters; with ``names`` or ``everything`` return those, or remove them.

    Raises ConfigurationError where a name is no letter's: nothing was done then.
    """
    letters = sorted(store.letters(), key=lambda one: one.died_ms)
    chosen = letters if everything else [one for one in letters if one.message.message_id in names]
    unknown = set(names) - {one.message.message_id for one in letters}
    if unknown:
        raise ConfigurationError(
            f"there is no dead letter {', '.join(sorted(shorten(name) for name in unknown))}",
            hint="`clipline redrive` lists them; one that was looked at just now is hidden for some seconds",
        )
    verb = "listed" if not (names or everything) else "removed" if remove else "returned"
    for done, letter in enumerate(chosen if verb != "listed" else ()):
        try:
            store.forget(letter.message) if remove else store.redrive(letter)
        except CliplineError as error:
            raise CliplineError(f"{done} of {len(chosen)} letters were {verb}, then: {error}") from error
    shown = letters if verb == "listed" else chosen
    if as_json:
        print(json.dumps([_as_json(one) for one in shown], indent=2))
    elif not shown:
        print("There are no dead letters.")
    else:
        _print(shown)
        many = "letter" if len(shown) == 1 else "letters"
        hint = "" if verb != "listed" else "; `clipline redrive LETTER` or `--all` returns them to the queue"
        print(f"{len(shown)} dead {many} {verb}{hint}.")


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    return {
        "letter": letter.message.message_id,
        "clipId": _clip_id(letter),
        "reason": letter.reason,
        "diedAt": iso(letter.died_ms),
        "sentAt": iso(letter.message.first_sent_ms),
        "timesDeadLettered": letter.message.times_dead_lettered,
        "body": letter.message.body,
    }


def _print(letters: Sequence[DeadLetter]) -> None:
    """Two lines for each: what it is, and why it was given up."""
    console = Console(highlight=False)
    for one in letters:
        times = one.message.times_dead_lettered
        again = f", {times} times so far" if times > 1 else ""
        title = f"[bold]{escape(_clip_id(one) or 'no clipId')}[/]  [dim]{escape(one.message.message_id)}[/]"
        console.print(title, soft_wrap=True)
        reason = shorten(one.reason, 300) if one.reason else _UNEXPLAINED
        console.print(Padding(escape(f"{iso(one.died_ms)}{again}: {reason}"), (0, 0, 0, 2)))


def _clip_id(letter: DeadLetter) -> str | None:
    try:
        return Job.read(letter.message).clip_id
    except UnreadableRequest:
        return None
