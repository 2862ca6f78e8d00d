"""Messages that kill their workers: the queue gives them up, workers bury them, a person returns them.

Here MAX_RECEIVE_COUNT is 2. Workers die while they encode, until all messages are among the dead letters,
without a reason. Whoever tells of it is killed as well, before and after a reason was kept. Then the letters
are returned, and the clips are made.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from media.truth import Recorded
from soak.household import Household
from soak.invariant import check
from soak.nursery import Nursery
from soak.points import Plan
from soak.stacks import Stack
from soak.traffic import Traffic

MOST_RECEIVES = 2
CLIPS = 4
_PATIENCE_S = 180
_TURN_S = 8
"""One worker: longer than a message is hidden after the death of the one before."""


def die_and_return(
    stack: Stack, processes: Nursery, recordings: Sequence[Recorded], kills: Counter[str]
) -> list[str]:
    """What is wrong, one line each; ``kills`` is added to."""
    with Household(stack, processes, 0, Random(0)) as household:
        household.deadly = False
        # All at once, so that they die together.
        household.environment = {**stack.environment, "WORKER_CONCURRENCY": str(CLIPS)}
        household.wait_for_camera()
        traffic = Traffic(stack, recordings, "deaths")
        for _ in range(CLIPS):
            traffic.ask("doomed")
        wrong: list[str] = []

        def take_turns(plan: Plan, done: Callable[[], bool], what: str) -> None:
            end = time.monotonic() + _PATIENCE_S
            while not done():
                if time.monotonic() > end:
                    wrong.append(f"{what}: waited {_PATIENCE_S} s")
                    return
                household.run_worker(plan, done, _TURN_S)

        def is_buried() -> bool:
            letters = stack.letters()
            explained = len(letters) >= CLIPS and all(letter.reason for letter in letters)
            if not explained:
                time.sleep(stack.hidden_s)  # until others can see what was looked at here
            return explained

        take_turns(Plan("engine.encode"), lambda: stack.depth() == 0, "for messages to die")
        for when in ("before", "after"):
            household.run_worker(Plan(f"letters.explain {when}"), lambda: False, _TURN_S)
            time.sleep(stack.hidden_s)
        household.run_worker(Plan(), lambda: False, _TURN_S / 2)
        take_turns(Plan(), is_buried, "for dead letters to be buried")
        wrong += check(stack, traffic.asked).wrong

        for letter in stack.letters():
            stack.app.dead_letters.redrive(letter)
        take_turns(Plan(), lambda: stack.depth() == 0, "for returned messages")
        returned = [replace(one, kind="plain") for one in traffic.asked]
        wrong += check(stack, returned, dead_before=[one.clip_id for one in returned]).wrong
        kills.update(household.kills)
        missed = {"engine.encode", "letters.explain before", "letters.explain after"} - set(household.kills)
        wrong += [f"nothing died at {point}" for point in sorted(missed)] + household.wrong
        return [f"deaths: {what}" for what in wrong]
