// The npm package oidc-provider as an authorization server for client credentials, on loopback.
//
// The first line of standard input is its settings, as JSON:
//   port       number; 0 lets the kernel choose
//   jwks       private key set that signs access tokens (given, so that a restart keeps it)
//   methods    the client authentication methods that it offers; Basic and post if not given
//   clients    metadata of clients: [{client_id, client_secret, token_endpoint_auth_method}]
//   resources  {"urn:name": {scope: "a b", ttl: seconds}}: what `resource` may name (RFC 8707)
//   tls        {certificate, key, ca}, PEM: it serves TLS as well, on a port of the kernel's choice
//              that discovery names in `mtls_endpoint_aliases` (RFC 8705 §5). It asks for a client
//              certificate there and takes any; `ca` is what `tls_client_auth` trusts.
// It answers with one line on standard output, {"port": N}, and ends when standard input does, so
// that no server outlives the tests. Of its own, for tests only, it serves
//   GET /granted         its own count of the tokens it gave
//   GET /requests        all token requests that it understood, in order: {client_id, assertion,
//                        certificate, status, detail}; see `noted`
//   PUT /clients/ID      a client's metadata, instead of what it had; not for those in `clients`
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { text } from 'node:stream/consumers';
import process from 'node:process';
import readline from 'node:readline';

import { Provider, errors } from 'oidc-provider';

const input = readline.createInterface({ input: process.stdin });
const settings = JSON.parse((await input[Symbol.asyncIterator]().next()).value);
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();

const listening = (server, port) => new Promise((resolve, reject) => {
  server.once('error', reject);
  server.listen(port, '127.0.0.1', () => resolve(server.address().port));
});
const server = createServer();
const port = await listening(server, settings.port);
const { tls } = settings;
const tlsServer = tls && createTlsServer({
  cert: tls.certificate, key: tls.key, ca: tls.ca, requestCert: true, rejectUnauthorized: false,
});
const tlsPort = tls && await listening(tlsServer, 0);

const certificate = (ctx) => ctx.socket.getPeerX509Certificate?.();
// What RFC 8705 §2.1.2 lets a client register, and where node shows it in a certificate.
const subjects = {
  tls_client_auth_subject_dn: (it) => [it.subject.split('\n').reverse().join(',')],
  tls_client_auth_san_dns: (it) => alternatives(it, 'DNS:'),
  tls_client_auth_san_uri: (it) => alternatives(it, 'URI:'),
};
const alternatives = (it, kind) => (it.subjectAltName ?? '').split(', ')
  .filter((name) => name.startsWith(kind)).map((name) => name.slice(kind.length));

const completed = (client) => ({
  grant_types: ['client_credentials'], redirect_uris: [], response_types: [], ...client,
});
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: settings.clients.map(completed),
  jwks: settings.jwks,
  // The key set is one EC key; without this every client would be asked for RS256.
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  clientAuthMethods: settings.methods ?? ['client_secret_basic', 'client_secret_post'],
  // Client and server have one clock here: an assertion or a token that has lapsed is of no use.
  clockTolerance: 0,
  discovery: tls && {
    mtls_endpoint_aliases: { token_endpoint: `https://127.0.0.1:${tlsPort}/token` },
  },
  scopes: [...new Set(Object.values(settings.resources).flatMap((it) => it.scope.split(' ')))],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: () => true },
    mTLS: {
      enabled: Boolean(tls),
      certificateBoundAccessTokens: true,
      selfSignedTlsClientAuth: true,
      tlsClientAuth: true,
      getCertificate: certificate,
      certificateAuthorized: (ctx) => ctx.socket.authorized,
      certificateSubjectMatches: (ctx, property, expected) =>
        subjects[property](certificate(ctx)).includes(expected),
    },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => {
        const known = settings.resources[resource];
        if (!known) throw new errors.InvalidTarget();
        return {
          scope: known.scope,
          audience: resource,
          accessTokenTTL: known.ttl,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        };
      },
    },
  },
  ttl: { ClientCredentials: (ctx, token) => token.resourceServer?.accessTokenTTL ?? 60 },
});

let granted = 0;
provider.on('grant.success', () => { granted += 1; });
provider.on('grant.error', (ctx, error) => { ctx.state.detail = error.error_detail; });
provider.on('server_error', (ctx, error) => { console.error(error); });

const requests = [];
const part = (jwt, index) => {
  try {
    return JSON.parse(Buffer.from(jwt.split('.')[index], 'base64url'));
  } catch {
    return null; // no JWT; it was refused already
  }
};
const noted = (ctx) => {
  const { client_id: id, client_assertion: assertion } = ctx.oidc.params;
  const shown = certificate(ctx);
  return {
    client_id: ctx.oidc.client?.clientId ?? id ?? null,
    // Whatever it sent, verified or not.
    assertion: assertion ? { header: part(assertion, 0), claims: part(assertion, 1) } : null,
    // As `x5t#S256` (RFC 8705 §3.1) would name it.
    certificate: shown ? createHash('sha256').update(shown.raw).digest('base64url') : null,
    status: ctx.status,
    // What it keeps from the client.
    detail: ctx.state.detail ?? null,
  };
};
provider.use(async (ctx, next) => {
  if (ctx.path === '/granted') {
    ctx.body = { granted };
  } else if (ctx.path === '/requests') {
    ctx.body = requests;
  } else if (ctx.method === 'PUT' && ctx.path.startsWith('/clients/')) {
    const id = decodeURIComponent(ctx.path.slice('/clients/'.length));
    const metadata = completed(JSON.parse(await text(ctx.req)));
    await provider.Client.adapter.upsert(id, { client_id: id, ...metadata });
    ctx.status = 204;
  } else {
    await next();
    if (ctx.path === '/token' && ctx.oidc?.params) requests.push(noted(ctx));
  }
});
server.on('request', provider.callback());
tlsServer?.on('request', provider.callback());
console.log(JSON.stringify({ port }));
