"""Streams one answer over gRPC, with a deadline, retries and the details of errors.

Usage: chat.py [--deadline SECONDS] [--stop-after PIECES] MODEL TEXT
DUOGATE is the address (127.0.0.1:50051), DUOGATE_KEY the key. Ctrl-C cancels.
"""

import argparse
import json
import os
import signal
import sys

import grpc
from duogate.v1 import chat_pb2, chat_service_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

# Only UNAVAILABLE is safe to retry. The gateway says when, or that a retry is useless, in
# `grpc-retry-pushback-ms`, which gRPC obeys by itself.
SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": "duogate.v1.ChatService"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.5s",
                "maxBackoff": "5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
OPTIONS = [
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    ("grpc.max_receive_message_length", 20 << 20),
    ("grpc.keepalive_time_ms", 30_000),
]


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--deadline", type=float, default=60, help="seconds for the whole chat, retries included")
    parser.add_argument("--stop-after", type=int, default=0, help="cancel after so many pieces of the answer")
    parser.add_argument("model")
    parser.add_argument("text")
    return parser.parse_args()


def explain(error):
    """Prints a failure with its details."""
    print(f"{error.code().name}: {error.details()}", file=sys.stderr)
    status = rpc_status.from_call(error)
    for packed in status.details if status else []:
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        bad, request = error_details_pb2.BadRequest(), error_details_pb2.RequestInfo()
        if packed.Unpack(info):
            print(f"  reason: {info.reason}", file=sys.stderr)
        elif packed.Unpack(retry):
            print(f"  retry after: {retry.retry_delay.ToTimedelta().total_seconds():.3f} s", file=sys.stderr)
        elif packed.Unpack(bad):
            for violation in bad.field_violations:
                print(f"  field {violation.field}: {violation.description}", file=sys.stderr)
        elif packed.Unpack(request):
            print(f"  request: {request.request_id}", file=sys.stderr)


def main():
    options = arguments()
    message = {"role": chat_pb2.ROLE_USER, "content": [{"text": options.text}]}
    request = chat_pb2.CreateChatCompletionRequest(model=options.model, messages=[message])
    key = os.environ.get("DUOGATE_KEY", "sk-duogate-demo")
    pieces = 0
    with grpc.insecure_channel(os.environ.get("DUOGATE", "127.0.0.1:50051"), OPTIONS) as channel:
        call = chat_service_pb2_grpc.ChatServiceStub(channel).StreamChatCompletion(
            request, timeout=options.deadline, metadata=[("authorization", f"Bearer {key}")]
        )
        signal.signal(signal.SIGINT, lambda *_: call.cancel())
        try:
            for event in call:
                if event.HasField("content"):
                    print(event.content.text, end="", flush=True)
                    pieces += 1
                    if pieces == options.stop_after:
                        call.cancel()
                elif event.HasField("finished"):
                    print()  # without this event the answer is incomplete
        except grpc.RpcError as error:
            explain(error)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
