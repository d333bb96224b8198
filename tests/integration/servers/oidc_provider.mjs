// The npm package oidc-provider as an authorization server for client credentials, on loopback.
//
// The first line of standard input is its settings, as JSON:
//   port       number; 0 lets the kernel choose
//   jwks       private key set that signs access tokens (given, so that a restart keeps it)
//   clients    [{client_id, client_secret, token_endpoint_auth_method}]
//   resources  {"urn:name": {scope: "a b", ttl: seconds}}: what `resource` may name (RFC 8707)
// It answers with one line on standard output, {"port": N}, and ends when standard input does, so
// that no server outlives the tests. `GET /granted` is its own count of the tokens it gave.
import { createServer } from 'node:http';
import process from 'node:process';
import readline from 'node:readline';

import { Provider, errors } from 'oidc-provider';

const input = readline.createInterface({ input: process.stdin });
const settings = JSON.parse((await input[Symbol.asyncIterator]().next()).value);
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();

const server = createServer();
await new Promise((resolve, reject) => {
  server.once('error', reject);
  server.listen(settings.port, '127.0.0.1', resolve);
});
const { port } = server.address();

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: settings.clients.map((client) => ({
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    ...client,
  })),
  jwks: settings.jwks,
  // The key set is one EC key; without this every client would be asked for RS256.
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  clientAuthMethods: ['client_secret_basic', 'client_secret_post'],
  scopes: [...new Set(Object.values(settings.resources).flatMap((it) => it.scope.split(' ')))],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: () => true },
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
provider.on('server_error', (ctx, error) => { console.error(error); });
provider.use(async (ctx, next) => {
  if (ctx.path === '/granted') ctx.body = { granted };
  else await next();
});
server.on('request', provider.callback());
console.log(JSON.stringify({ port }));
