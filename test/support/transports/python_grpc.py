"""Calls RPCs for a test over the C core of gRPC: a JSON line in, JSON lines out. Messages are bytes that the test makes and reads."""

import base64
import json
import sys

import grpc


def answer(**fields):
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def call(channel, request):
    metadata = [(name, value) for name, value in request["metadata"]]
    messages = [base64.b64decode(message) for message in request["messages"]]
    options = {"metadata": metadata, "timeout": request["timeout"]}
    identity = lambda data: data  # noqa: E731
    forms = {
        "unary": (channel.unary_unary, False, False),
        "server_streaming": (channel.unary_stream, False, True),
        "client_streaming": (channel.stream_unary, True, False),
        "bidi_streaming": (channel.stream_stream, True, True),
    }
    form, sends_many, gets_many = forms[request["kind"]]
    method = form(request["path"], request_serializer=identity, response_deserializer=identity)
    answered = method(iter(messages) if sends_many else messages[0], **options)
    for response in answered if gets_many else [answered]:
        answer(message=base64.b64encode(response).decode())


def main():
    with grpc.insecure_channel(sys.argv[1]) as channel:
        for line in sys.stdin:
            try:
                call(channel, json.loads(line))
                answer(end=True)
            except grpc.RpcError as error:
                trailers = dict(error.trailing_metadata() or ())
                details = trailers.get("grpc-status-details-bin", b"")
                answer(
                    end=True,
                    code=error.code().value[0],
                    text=error.details(),
                    details=base64.b64encode(details).decode(),
                )


main()
