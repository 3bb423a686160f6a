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
    message = base64.b64decode(request["message"])
    identity = lambda data: data  # noqa: E731
    if request["streaming"]:
        method = channel.unary_stream(request["path"], request_serializer=identity, response_deserializer=identity)
        responses = method(message, metadata=metadata, timeout=request["timeout"])
        for response in responses:
            answer(message=base64.b64encode(response).decode())
    else:
        method = channel.unary_unary(request["path"], request_serializer=identity, response_deserializer=identity)
        answer(message=base64.b64encode(method(message, metadata=metadata, timeout=request["timeout"])).decode())


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
