/**
 * Binds typed handlers to gRPC methods: parses every request with a schema, turns thrown errors into gRPC statuses. Knows
 * nothing of what the methods do.
 */
import { type CallContext, type MethodDefinition, type Server, ServerError, Status } from "nice-grpc";
import { type z } from "zod";
import { type WireMethod, type WireService } from "./definitions.ts";
import { EngineError } from "./engine/engine.ts";
import { explainUnserved } from "./unserved.ts";

type Unary = { kind: "unary"; run: (request: unknown, context: CallContext) => Promise<object> };
type ServerStream = {
  kind: "serverStream";
  run: (request: unknown, context: CallContext) => AsyncGenerator<object, void, undefined>;
};
type ClientStream = { kind: "clientStream"; run: (requests: AsyncIterable<unknown>, context: CallContext) => Promise<object> };
export type RpcHandler = Unary | ServerStream | ClientStream;
/** keyed by the method's name in camel case */
export type RpcHandlers = Record<string, RpcHandler>;

/** Fails the call with a gRPC status that the SDK shows to its caller. */
export function fail(code: Status, message: string): never {
  throw new ServerError(code, message);
}

function parse<T>(schema: z.ZodType<T>, request: unknown): T {
  const parsed = schema.safeParse(request);
  if (parsed.success) return parsed.data;
  return fail(Status.INVALID_ARGUMENT, `The request is not what the emulator understands: ${parsed.error.message}`);
}

function toStatus(cause: unknown): unknown {
  if (cause instanceof ServerError) return cause;
  if (cause instanceof Error && cause.name === "AbortError") return cause;
  if (cause instanceof EngineError) {
    const code = {
      not_found: Status.NOT_FOUND,
      invalid: Status.INVALID_ARGUMENT,
      exhausted: Status.RESOURCE_EXHAUSTED,
      failed: Status.INTERNAL,
    }[cause.kind];
    return new ServerError(code, cause.message);
  }
  return new ServerError(Status.INTERNAL, cause instanceof Error ? cause.message : "The emulator failed.");
}

export function unary<T>(
  schema: z.ZodType<T>,
  handle: (request: T, context: CallContext) => Promise<object> | object,
): RpcHandler {
  return {
    kind: "unary",
    run: async (request, context) => {
      try {
        return await handle(parse(schema, request), context);
      } catch (cause) {
        throw toStatus(cause);
      }
    },
  };
}

export function serverStream<T>(
  schema: z.ZodType<T>,
  handle: (request: T, context: CallContext) => AsyncIterable<object>,
): RpcHandler {
  return {
    kind: "serverStream",
    run: async function* (request, context) {
      try {
        yield* handle(parse(schema, request), context);
      } catch (cause) {
        throw toStatus(cause);
      }
    },
  };
}

export function clientStream<T>(
  schema: z.ZodType<T>,
  handle: (requests: AsyncIterable<T>, context: CallContext) => Promise<object>,
): RpcHandler {
  return {
    kind: "clientStream",
    run: async (requests, context) => {
      async function* parsed() {
        for await (const request of requests) yield parse(schema, request);
      }
      try {
        return await handle(parsed(), context);
      } catch (cause) {
        throw toStatus(cause);
      }
    },
  };
}

/** Throws when the method streams otherwise than asked for. */
export function toMethod<Q extends boolean, S extends boolean>(
  service: WireService,
  method: WireMethod,
  requestStream: Q,
  responseStream: S,
): MethodDefinition<unknown, unknown, unknown, unknown, Q, S> {
  if (method.requestStream !== requestStream || method.responseStream !== responseStream) {
    throw new Error(`${service.fullName}/${method.name} streams differently in the installed modal package.`);
  }
  const { requestType, responseType } = method;
  return {
    path: `/${service.fullName}/${method.name}`,
    requestStream,
    responseStream,
    requestSerialize: (value) => requestType.encode(requestType.fromPartial(value)).finish(),
    requestDeserialize: (bytes) => requestType.decode(bytes),
    responseSerialize: (value) => responseType.encode(responseType.fromPartial(value)).finish(),
    responseDeserialize: (bytes) => responseType.decode(bytes),
    options: {},
  };
}

/** Serves the given methods; every other method of the service answers UNIMPLEMENTED and what to use instead. */
export function addService(server: Pick<Server, "add">, service: WireService, handlers: RpcHandlers): void {
  for (const [key, handler] of Object.entries(handlers)) {
    const method = service.methods[key];
    if (!method) throw new Error(`${service.fullName} of the installed modal package has no method ${key}.`);
    switch (handler.kind) {
      case "unary":
        server.add({ [key]: toMethod(service, method, false, false) }, { [key]: handler.run });
        break;
      case "serverStream":
        server.add({ [key]: toMethod(service, method, false, true) }, { [key]: handler.run });
        break;
      case "clientStream":
        server.add({ [key]: toMethod(service, method, true, false) }, { [key]: handler.run });
        break;
    }
  }
  for (const [key, method] of Object.entries(service.methods)) {
    if (Object.hasOwn(handlers, key)) continue;
    const refuse = () => fail(Status.UNIMPLEMENTED, explainUnserved(method.name));
    if (method.responseStream) {
      const stream = async function* (): AsyncGenerator<object, void, undefined> {
        yield refuse();
      };
      server.add({ [key]: toMethod(service, method, false, true) }, { [key]: stream });
    } else if (method.requestStream) {
      server.add({ [key]: toMethod(service, method, true, false) }, { [key]: async () => refuse() });
    } else {
      server.add({ [key]: toMethod(service, method, false, false) }, { [key]: async () => refuse() });
    }
  }
}
