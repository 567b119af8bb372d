"""A client of the gRPC door that uses only server reflection, without generated code."""

import queue

import grpc
from checks import equal, true
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from shapes import QUESTION
from world import MODELS

SERVICE = "duogate.v1.ChatService"
MODEL = MODELS[0]
TIMEOUT = 30


class Former(ProtoReflectionDescriptorDatabase):
    """The contract before keep-alive events existed."""

    def FindFileByName(self, name):
        return without_keep_alive(super().FindFileByName(name))

    def FindFileContainingSymbol(self, symbol):
        return without_keep_alive(super().FindFileContainingSymbol(symbol))


def without_keep_alive(file):
    for message in file.message_type:
        kept = [field for field in message.field if field.name != "keep_alive"]
        del message.field[:]
        message.field.extend(kept)
    return file


class Door:
    """A channel, and the calls found by reflection."""

    def __init__(self, gateway, key=None, channel=None, contract=ProtoReflectionDescriptorDatabase):
        self.channel = channel or grpc.insecure_channel(gateway.grpc)
        self.metadata = [("authorization", f"Bearer {gateway.key if key is None else key}")]
        self.database = contract(self.channel)
        self.service = descriptor_pool.DescriptorPool(self.database).FindServiceByName(SERVICE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def start(self, method, request, metadata=None, timeout=TIMEOUT):
        """Starts a call. A stream can be iterated; for a unary call `result` waits for the response."""
        described = self.service.methods_by_name[method]
        build = message_factory.GetMessageClass
        make = self.channel.unary_stream if described.server_streaming else self.channel.unary_unary
        call = make(
            f"/{SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=build(described.output_type).FromString,
        )
        start = call if described.server_streaming else call.future
        metadata = self.metadata if metadata is None else metadata
        return start(build(described.input_type)(**request), metadata=metadata, timeout=timeout)

    def converse(self, timeout=TIMEOUT):
        """Opens a conversation."""
        return Talk(self, timeout)

    def ask(self, method, request=None, metadata=None):
        return self.start(method, request or {}, metadata).result()

    def refused(self, method, request=None, metadata=None):
        """The error of a call that must fail."""
        call = self.start(method, request or {}, metadata)
        try:
            answer = list(call) if self.service.methods_by_name[method].server_streaming else call.result()
        except grpc.RpcError as error:
            return error
        raise AssertionError(f"{method} succeeded: {answer}")


class Talk:
    """A conversation, turn by turn; leaving the block without `close` cancels the stream."""

    def __init__(self, door, timeout):
        described = door.service.methods_by_name["Converse"]
        build = message_factory.GetMessageClass
        self.message = build(described.input_type)
        self.said = queue.SimpleQueue()
        self.call = door.channel.stream_stream(
            f"/{SERVICE}/Converse",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=build(described.output_type).FromString,
        )(iter(self.said.get, None), metadata=door.metadata, timeout=timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        self.call.cancel()

    def send(self, **request):
        self.said.put(self.message(**request))

    def start(self, model=MODEL, **options):
        """Starts the conversation, and returns the head."""
        self.send(start={"options": {"model": model, **options}})
        return next(self.call).started

    def say(self, text):
        self.send(turn={"content": [{"text": text}]})

    def turn(self):
        """The events of the current turn, up to its end."""
        events = []
        for event in self.call:
            events.append(event)
            if event.HasField("turn_finished"):
                return events
        raise AssertionError(f"the stream ended within a turn: {events}")

    def ask(self, text):
        self.say(text)
        return self.turn()

    def close(self):
        """Closes the sending side."""
        self.said.put(None)


def counted(events):
    """The numbered events, without keep-alives, which appear whenever a machine is slow."""
    return [event for event in events if not event.HasField("keep_alive")]


def text_of(events):
    return "".join(event.content.text for event in events if event.HasField("content"))


def request(model=MODEL, text=QUESTION, **fields):
    """A chat with one user message; `fields` replace or add to its fields."""
    message = {"role": 3, "content": [{"text": text}]}  # 3: ROLE_USER
    return {"model": model, "messages": [message], **fields}


def details(error):
    """The details of a failed call, by the name of their type."""
    status = rpc_status.from_call(error)
    true(status is not None, f"no details on {error.code()}: {error.details()}")
    found = {}
    for packed in status.details:
        name = packed.TypeName().rsplit(".", 1)[-1]
        message = getattr(error_details_pb2, name)()
        packed.Unpack(message)
        found[name] = message
    return found


def fails(error, code, reason):
    """Checks a failure's status and its ErrorInfo; returns all details."""
    equal(error.code(), code, f"status ({error.details()!r})")
    found = details(error)
    info = found["ErrorInfo"]
    equal((info.reason, info.domain), (reason, "duogate"), "reason and domain")
    return found


def enum(message, field):
    """The name of an enum field's value."""
    kind = message.DESCRIPTOR.fields_by_name[field].enum_type
    return kind.values_by_number[getattr(message, field)].name
