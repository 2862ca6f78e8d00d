"""What the names of queues and topics tell, and what is imported for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from clipline.adapters import aws

TOPIC = "arn:aws:sns:us-west-1:123456789012:clips"


@pytest.mark.parametrize(
    ("target", "region"),
    [
        ("https://sqs.us-west-1.amazonaws.com/123456789012/clips", "us-west-1"),
        ("https://us-gov-west-1.queue.amazonaws.com/123456789012/clips", "us-gov-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/clips", "cn-north-1"),
        ("https://sqs.eu-central-1.api.aws/123456789012/clips", "eu-central-1"),
        ("https://vpce-0a-b.sqs.ap-southeast-2.vpce.amazonaws.com/1/clips", "ap-southeast-2"),
        ("https://queue.amazonaws.com/123456789012/clips", None),
        ("http://127.0.0.1:4566/000000000000/us-west-1", None),
        ("http://sqs.us-east-1.localhost.localstack.cloud:4566/1/q", None),
        ("https://sqs.test-sqs-sandbox", None),
        (TOPIC, "us-west-1"),
        ("arn:aws:sns:test_sandbox", None),
        ("arn:aws", None),
    ],
)
def test_the_region_in_a_name(target: str, region: str | None) -> None:
    assert aws.region_of(target) == region


def test_nothing_of_aws_is_imported_before_it_is_needed() -> None:
    script = """
import sys
from clipline.adapters import aws, sqs, sns
sqs.SqsQueue("https://sqs.us-west-1.amazonaws.com/123456789012/clips")
sns.SnsNotifier("arn:aws:sns:us-west-1:123456789012:clips")
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules} & {"boto3", "botocore"})))
"""
    done = subprocess.run(
        [sys.executable, "-c", "import json" + script],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert json.loads(done.stdout) == []
