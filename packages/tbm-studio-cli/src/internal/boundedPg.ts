import * as StoreTimeout from "@effect-resilience/deadline/StoreTimeout"
import type * as Timeout from "@effect-resilience/deadline/Timeout"
import * as PgClient from "@effect/sql-pg/PgClient"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlConnection from "effect/sql/SqlConnection"
import * as SqlError from "effect/sql/SqlError"

/**
 * A Postgres client whose statements, and waits for a connection, take no longer than `duration`: if the database is
 * unreachable, the driver itself waits until the operating system gives up. A statement that takes longer is abandoned, and
 * its connection is closed.
 */
export const layer = (duration: Duration.Input): Layer.Layer<SqlClient.SqlClient, never, PgClient.PgClient> =>
  Layer.effect(
    SqlClient.SqlClient,
    Effect.gen(function*() {
      const pg = yield* PgClient.PgClient
      const within = StoreTimeout.each(duration)
      const call = <A, R>(call: Effect.Effect<A, SqlError.SqlError, R>) =>
        Effect.catchTag(within(call), "TimedOut", silent)
      const bounded = (connection: SqlConnection.Connection): SqlConnection.Connection => ({
        execute: (...statement) => call(connection.execute(...statement)),
        executeRaw: (...statement) => call(connection.executeRaw(...statement)),
        executeStream: (...statement) => connection.executeStream(...statement),
        executeUnprepared: (...statement) => call(connection.executeUnprepared(...statement)),
        executeValues: (...statement) => call(connection.executeValues(...statement)),
        executeValuesUnprepared: (...statement) => call(connection.executeValuesUnprepared(...statement))
      })
      return yield* SqlClient.make({
        // The pool closes a connection that is returned while a statement runs on it.
        acquirer: Effect.map(call(pg.reserve), bounded),
        compiler: PgClient.makeCompiler(),
        driver: pg.driver,
        prepareTransactionControls: true,
        releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
        commit,
        spanAttributes: [["db.system.name", "postgresql"]]
      })
    })
  ).pipe(Layer.provide(Reactivity.layer))

// As the driver does: at a commit, Postgres rolls an aborted transaction back.
const commit = (connection: SqlConnection.Connection): Effect.Effect<void, SqlError.SqlError> =>
  Effect.flatMap(
    connection.executeRaw("COMMIT", []),
    (result) =>
      Predicate.hasProperty(result, "command") && result.command === "ROLLBACK"
        ? failure(new Error("the transaction had been aborted"), "the database rolled the transaction back")
        : Effect.void
  )

const silent = (cause: Timeout.TimedOut) => failure(cause, `the database ${cause.message}`)

const failure = (cause: Error, message: string) =>
  Effect.fail(new SqlError.SqlError({ reason: new SqlError.ConnectionError({ cause, message, operation: "execute" }) }))
