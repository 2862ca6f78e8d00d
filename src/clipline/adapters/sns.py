"""The port ``Notifier`` on an Amazon SNS topic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from clipline.adapters import aws
from clipline.contract.errors import Refused
from clipline.contract.text import ID

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sns.type_defs import MessageAttributeValueTypeDef

MOST_BYTES = 256 * 1024
"""SNS takes no larger message, its attributes included."""

_FILTERS = ("status", "cameraId")


class SnsNotifier:
    """Publishes to ``topic_arn``; safe to use from several threads. Nothing is contacted before that.

    Subscribers get the metadata as compact JSON, in ASCII, and can filter by the attributes ``status`` and
    ``cameraId`` (left out where the camera's id is none). ``publish`` raises NotFound when the topic does not
    exist. A request takes ``deadline_s`` at most, its repeats included.
    """

    def __init__(self, topic_arn: str, *, deadline_s: float = 30) -> None:
        self._topic_arn = topic_arn
        self._deadline_s = deadline_s

    def publish(self, metadata: Mapping[str, Any]) -> None:
        """As in the port.

        What is larger than SNS takes loses entries at the end of its ``coverage`` and says so with
        ``"coverageTruncated": true``; Refused where that is not enough.
        """
        attributes: dict[str, MessageAttributeValueTypeDef] = {
            name: {"DataType": "String", "StringValue": metadata[name]}
            for name in _FILTERS
            if isinstance(metadata.get(name), str) and ID.fullmatch(metadata[name])
        }
        taken_bytes = sum(
            len(name) + len(value["DataType"]) + len(value["StringValue"])
            for name, value in attributes.items()
        )
        message = self._message(metadata, MOST_BYTES - taken_bytes)
        with aws.translate("publish to", self._topic_arn):
            self._client.publish(
                TopicArn=self._topic_arn,
                Message=message,
                MessageStructure="json",
                MessageAttributes=attributes,
            )

    def check(self) -> None:
        """As in the port, by sns:GetTopicAttributes. A topic that may not be looked at passes."""
        try:
            with aws.translate("look up", self._topic_arn):
                self._client.get_topic_attributes(TopicArn=self._topic_arn)
        except Refused as error:
            if not aws.is_denied(error):
                raise

    @cached_property
    def _client(self) -> SNSClient:
        return aws.client("sns", target=self._topic_arn, deadline_s=self._deadline_s)

    def _message(self, metadata: Mapping[str, Any], most_bytes: int) -> str:
        message = _structured(metadata)
        if len(message) <= most_bytes:
            return message
        coverage = metadata.get("coverage")
        if isinstance(coverage, list):
            # The longest head that fits, by halving: its size grows with its length.
            fits, too_long = -1, len(coverage)
            while too_long - fits > 1:
                middle = (fits + too_long) // 2
                cut = {**metadata, "coverage": coverage[:middle], "coverageTruncated": True}
                if len(shorter := _structured(cut)) <= most_bytes:
                    fits, message = middle, shorter
                else:
                    too_long = middle
            if fits >= 0:
                return message
        largest = max(metadata, key=lambda key: len(json.dumps(metadata[key])))
        raise Refused(
            "publish to", self._topic_arn,
            f"the message has {len(message)} bytes, most of them in {largest!r}",
            hint=f"expected at most {most_bytes} bytes",
        )  # fmt: skip


def _structured(metadata: Mapping[str, Any]) -> str:
    """Under ``MessageStructure=json``: what every protocol gets. All ASCII, so characters are bytes."""
    document = json.dumps(metadata, allow_nan=False, separators=(",", ":"))
    return json.dumps({"default": document})
