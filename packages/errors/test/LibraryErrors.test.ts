import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { Classifier, LibraryErrors, Recovery } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import * as grpc from "@grpc/grpc-js"
import { request } from "@octokit/request"
import axios from "axios"
import { Effect, Exit, Scope } from "effect"
import got from "got"
import { DatabaseSync } from "node:sqlite"
import OpenAI from "openai"
import { Client, DatabaseError } from "pg"
import { afterAll, beforeAll } from "vitest"

// Responds with the status of its path, `/status/503`, and asks to retry after 2 seconds if the path says so.
const server = LocalServer.http((request, response) => {
  const [, status = "200"] = /(\d{3})/.exec(request.url ?? "") ?? []
  if (request.url?.includes("silent")) return
  response.writeHead(Number(status), {
    "content-type": "application/json",
    ...(request.url?.includes("later") && { "retry-after": "2" })
  })
  response.end(`{"message":"no"}`)
})

const scope = Scope.makeUnsafe()
let base = ""
beforeAll(async () => {
  base = (await Effect.runPromise(Scope.provide(server, scope))).url
})
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

/** As a program gets it: in the `UnknownError` of `tryPromise`. */
const failure = (call: () => unknown): Promise<unknown> =>
  Effect.runPromise(Effect.flip(Effect.tryPromise(async () => call())))

const recoveryOf = async (call: () => unknown): Promise<Recovery.Recovery> => {
  const error = await failure(call)
  return LibraryErrors.classify(error) ?? Classifier.classify(error)
}

// A short time only for what never responds: under load, the first response of a library takes a while.
const timeoutOf = (path: string): number => path === "silent" ? 200 : 30_000

const openai = (path: string) =>
  new OpenAI({ apiKey: "none", baseURL: `${base}/${path}`, maxRetries: 0, timeout: timeoutOf(path) }).models.list()

const clients: ReadonlyArray<readonly [string, (path: string) => PromiseLike<unknown>]> = [
  ["axios", (path) => axios.get(`${base}/${path}`, { timeout: timeoutOf(path) })],
  ["got", (path) => got(`${base}/${path}`, { retry: { limit: 0 }, timeout: { request: timeoutOf(path) } })],
  [
    "octokit",
    (path) =>
      request({ method: "GET", url: `${base}/${path}`, request: { signal: AbortSignal.timeout(timeoutOf(path)) } })
  ],
  ["OpenAI", openai]
]

describe.each(clients)("the errors of %s", (_, get) => {
  it("are read by the status of the response and its headers", async () => {
    assert.deepStrictEqual(await recoveryOf(() => get("503")), Recovery.retryAs("overloaded"))
    assert.deepStrictEqual(await recoveryOf(() => get("429/later")), Recovery.retryAs("throttled", "2 seconds"))
    assert.deepStrictEqual(await recoveryOf(() => get("404")), Recovery.correct)
    assert.deepStrictEqual(await recoveryOf(() => get("401")), Recovery.reauthenticate)
  })

  it("are retried if no response came in time", async () => {
    assert.deepStrictEqual(await recoveryOf(() => get("silent")), Recovery.retry)
  })
})

describe("the errors of libraries without a response", () => {
  it("are retried if no server listens", async () => {
    const closed = "http://127.0.0.1:9/"
    assert.deepStrictEqual(await recoveryOf(() => axios.get(closed)), Recovery.retry)
    assert.deepStrictEqual(await recoveryOf(() => got(closed, { retry: { limit: 0 } })), Recovery.retry)
    assert.deepStrictEqual(
      await recoveryOf(() => new OpenAI({ apiKey: "none", baseURL: closed, maxRetries: 0 }).models.list()),
      Recovery.retry
    )
  })

  it("are unknown if the caller cancelled", async () => {
    const cancelled = AbortSignal.abort()
    assert.deepStrictEqual(await recoveryOf(() => axios.get(base, { signal: cancelled })), Recovery.giveUp)
  })
})

describe("the errors of the AWS SDK", () => {
  // As `ServiceException` of `@smithy/core` makes them.
  const failed = (name: string, httpStatusCode: number, $retryable?: { readonly throttling?: boolean }) =>
    Object.assign(new Error("x"), { name, $fault: "client", $metadata: { httpStatusCode }, $retryable })

  it("are retried if the service flags them, throttles or fails", () => {
    assert.deepStrictEqual(
      LibraryErrors.classify(failed("Slow", 400, { throttling: true })),
      Recovery.retryAs("throttled")
    )
    assert.deepStrictEqual(LibraryErrors.classify(failed("Flagged", 400, {})), Recovery.retry)
    assert.deepStrictEqual(LibraryErrors.classify(failed("SlowDown", 503)), Recovery.retryAs("throttled"))
    assert.deepStrictEqual(LibraryErrors.classify(failed("ThrottlingException", 400)), Recovery.retryAs("throttled"))
    assert.deepStrictEqual(LibraryErrors.classify(failed("InternalError", 500)), Recovery.retry)
    assert.deepStrictEqual(LibraryErrors.classify(failed("NoSuchKey", 404)), Recovery.correct)
    assert.deepStrictEqual(LibraryErrors.classify(failed("AccessDenied", 403)), Recovery.authorize)
    for (const name of ["RequestTimeout", "RequestTimeoutException", "TimeoutError"]) {
      assert.deepStrictEqual(LibraryErrors.classify(failed(name, 400)), Recovery.retry, name)
    }
  })

  it("are throttled by any of their names, not before the time of the response", () => {
    const names = "BandwidthLimitExceeded EC2ThrottledException LimitExceededException PriorRequestNotComplete " +
      "ProvisionedThroughputExceededException RequestLimitExceeded RequestThrottled RequestThrottledException SlowDown " +
      "ThrottledException Throttling ThrottlingException TooManyRequestsException TransactionInProgressException"
    for (const name of names.split(" ")) {
      assert.deepStrictEqual(LibraryErrors.classify(failed(name, 400)), Recovery.retryAs("throttled"), name)
      const later = Object.assign(failed(name, 503), { $response: { headers: { "retry-after": "2" } } })
      assert.deepStrictEqual(LibraryErrors.classify(later), Recovery.retryAs("throttled", "2 seconds"), name)
    }
    const flagged = Object.assign(failed("Flagged", 503, {}), { $response: { headers: { "Retry-After": "2" } } })
    assert.deepStrictEqual(LibraryErrors.classify(flagged), Recovery.retryAs("overloaded", "2 seconds"))
  })
})

describe("the errors of databases", () => {
  const of = (code: string) => {
    const error = new DatabaseError("x", 1, "error")
    error.code = code
    error.severity = "ERROR"
    return LibraryErrors.classify(error)
  }

  it("are read by PostgreSQL's code", () => {
    for (const code of ["40001", "40P01", "57P01", "57P03", "08006", "55P03", "57014"]) {
      assert.deepStrictEqual(of(code), Recovery.retry, code)
    }
    assert.deepStrictEqual(of("53300"), Recovery.retryAs("overloaded"))
    for (const code of ["28P01", "42501"]) assert.deepStrictEqual(of(code), Recovery.authorize, code)
    for (const code of ["23505", "42P01", "22001"]) assert.deepStrictEqual(of(code), Recovery.correct, code)
    assert.deepStrictEqual(of("XX000"), Recovery.giveUp)
  })

  it("are retried if no PostgreSQL listens", async () => {
    assert.deepStrictEqual(
      await recoveryOf(() => new Client({ host: "127.0.0.1", port: 9 }).connect()),
      Recovery.retry
    )
  })

  it("are read by SQLite's code", async () => {
    const file = `file:shared-${process.pid}?mode=memory&cache=shared`
    const [one, two] = [new DatabaseSync(file), new DatabaseSync(file)]
    one.exec("CREATE TABLE t (id INTEGER PRIMARY KEY); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
    assert.deepStrictEqual(await recoveryOf(() => two.exec("INSERT INTO t VALUES (2)")), Recovery.retry)
    assert.deepStrictEqual(await recoveryOf(() => one.exec("INSERT INTO t VALUES (1)")), Recovery.correct)
    assert.deepStrictEqual(await recoveryOf(() => one.exec("SELEC")), Recovery.correct)
    one.close()
    two.close()
    const of = (code: string) => LibraryErrors.classify(Object.assign(new Error("x"), { code }))
    assert.deepStrictEqual(
      ["SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CORRUPT"].map((code) =>
        of(code)?._tag
      ),
      ["Retry", "Retry", "Correct", "GiveUp"]
    )
  })
})

describe("the errors of gRPC", () => {
  it("are read by their status, also without a server", async () => {
    const client = new grpc.Client("127.0.0.1:9", grpc.credentials.createInsecure())
    const call = () =>
      new Promise((_, reject) => {
        client.makeUnaryRequest("/s/m", () => Buffer.from(""), (bytes) => bytes, {}, reject)
      })
    assert.deepStrictEqual(await recoveryOf(call), Recovery.retry)
    client.close()
    const of = (code: grpc.status) =>
      LibraryErrors.classify(Object.assign(new Error("x"), { code, details: "x", metadata: new grpc.Metadata() }))
    assert.deepStrictEqual(of(grpc.status.ABORTED), Recovery.retry)
    assert.deepStrictEqual(of(grpc.status.RESOURCE_EXHAUSTED), Recovery.retryAs("throttled"))
    assert.deepStrictEqual(of(grpc.status.INVALID_ARGUMENT), Recovery.correct)
    assert.deepStrictEqual(of(grpc.status.PERMISSION_DENIED), Recovery.authorize)
    assert.deepStrictEqual(of(grpc.status.UNIMPLEMENTED), Recovery.giveUp)
    const pushed = (code: grpc.status, pushback: string) => {
      const metadata = new grpc.Metadata()
      metadata.set("grpc-retry-pushback-ms", pushback)
      return LibraryErrors.classify(Object.assign(new Error("x"), { code, details: "x", metadata }))
    }
    assert.deepStrictEqual(pushed(grpc.status.UNAVAILABLE, "250"), Recovery.retryAfter(250))
    assert.deepStrictEqual(pushed(grpc.status.RESOURCE_EXHAUSTED, "250"), Recovery.retryAs("throttled", 250))
    assert.deepStrictEqual(pushed(grpc.status.UNAVAILABLE, "-1"), Recovery.giveUp)
    assert.deepStrictEqual(pushed(grpc.status.UNAVAILABLE, "soon"), Recovery.giveUp)
    assert.deepStrictEqual(pushed(grpc.status.INVALID_ARGUMENT, "250"), Recovery.correct)
  })
})

describe("LibraryErrors", () => {
  it("reads an error of gRPC by all that such an error has, and no error that lacks a part", () => {
    const whole = { code: 14, details: "down", metadata: {} }
    assert.deepStrictEqual(LibraryErrors.classify(whole), Recovery.retry)
    for (const part of ["code", "details", "metadata"]) {
      assert.isUndefined(LibraryErrors.classify({ ...whole, [part]: undefined }), part)
    }
  })

  it("reads headers in any form, and a list of them as one header", () => {
    const of = (headers: unknown) => LibraryErrors.classify({ response: { status: 503, headers } })
    const seven = Recovery.retryAs("overloaded", "7 seconds")
    assert.deepStrictEqual(of(new Headers({ "Retry-After": "7" })), seven)
    assert.deepStrictEqual(of({ "Retry-After": "7" }), seven)
    assert.deepStrictEqual(of({ "retry-after": 7 }), seven)
    assert.deepStrictEqual(of({ "retry-after": ["5", "7"] }), seven)
    for (const headers of [undefined, null, { "retry-after": { toString: () => "7" } }]) {
      assert.deepStrictEqual(of(headers), Recovery.retryAs("overloaded"))
    }
  })

  it("looks eight causes deep", () => {
    const chain = (length: number): unknown =>
      length === 1 ? { status: 503 } : new Error("outer", { cause: chain(length - 1) })
    assert.deepStrictEqual(LibraryErrors.classify(chain(8)), Recovery.retryAs("overloaded"))
    assert.isUndefined(LibraryErrors.classify(chain(9)))
  })

  it("returns undefined for errors of other libraries and for those with a recovery", () => {
    for (const error of [undefined, "x", {}, new Error("x"), { status: 200 }, { code: 14 }, { code: "40001" }]) {
      assert.isUndefined(LibraryErrors.classify(error))
    }
    const known = { status: 503, [Recovery.symbol]: () => Recovery.verify }
    assert.isUndefined(LibraryErrors.classify(known))
    assert.isUndefined(LibraryErrors.classify(Object.assign(new Error("x"), { cause: known })))
  })

  it("takes what is no text for none, and finds no code among the properties that every object has", () => {
    const metadata = { httpStatusCode: 500 }
    const name = { toString: 1 }
    assert.deepStrictEqual(
      LibraryErrors.classify({ $metadata: metadata, name }),
      LibraryErrors.classify({ $metadata: metadata })
    )
    for (const code of ["constructor", "toString", "__proto__"]) {
      assert.isUndefined(LibraryErrors.classify({ isAxiosError: true, code }))
    }
    const pushback = { get: () => [Object.create(null)] }
    assert.deepStrictEqual(LibraryErrors.classify({ code: 14, details: "down", metadata: pushback }), Recovery.giveUp)
  })
})
