"""How the tests of queues receive."""

from __future__ import annotations

from clipline.pipeline.ports import Message, MessageQueue

HIDDEN_S = 30


def receive(queue: MessageQueue, *, wait_s: float = 0, visibility_s: int = HIDDEN_S) -> Message | None:
    """One message, or None."""
    messages = queue.receive(most=1, wait_s=wait_s, visibility_s=visibility_s)
    return messages[0] if messages else None


def expect(queue: MessageQueue, *, wait_s: float = 0, visibility_s: int = HIDDEN_S) -> Message:
    message = receive(queue, wait_s=wait_s, visibility_s=visibility_s)
    assert message is not None
    return message
