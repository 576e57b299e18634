// Stands for GitHub: three pages of issues, one expired token, one secondary rate limit.
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

export const startGitHub = async () => {
  const log: Array<string> = []
  let tokens = 0
  let limited = false
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://github.local")
    const respond = (status: number, body: unknown, headers: Record<string, string> = {}) => {
      log.push(
        `${request.method} ${pathname}${searchParams.has("page") ? `?page=${searchParams.get("page")}` : ""} ${status}`
      )
      response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body))
    }
    if (pathname === "/login/oauth/token") {
      return respond(200, { access_token: `token-${++tokens}`, token_type: "bearer", expires_in: 3_600 })
    }
    // The first token was revoked.
    if (request.headers.authorization !== "Bearer token-2") return respond(401, { message: "Bad credentials" })
    const page = Number(searchParams.get("page") ?? 1)
    if (page === 2 && !limited) {
      limited = true
      return respond(403, { message: "You have exceeded a secondary rate limit." }, { "retry-after": "1" })
    }
    const next = `http://${request.headers.host}${pathname}?page=${page + 1}`
    respond(200, [{ number: page * 2 - 1 }, { number: page * 2 }], page < 3 ? { link: `<${next}>; rel="next"` } : {})
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, log, close: () => server.close().closeAllConnections() }
}
