declare module 'undici/lib/dispatcher/client.js' {
  export { Client as default } from 'undici'
}

declare module 'undici/lib/core/connect.js' {
  export { buildConnector as default } from 'undici'
}

declare module 'proxy-from-env' {
  /** The proxy of a URL by `*_PROXY` and `NO_PROXY`; '' for none. */
  export function getProxyForUrl(url: string | URL): string
}
