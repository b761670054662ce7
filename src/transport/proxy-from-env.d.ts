declare module 'proxy-from-env' {
  /** The proxy of a URL by `*_PROXY` and `NO_PROXY`; '' for none. */
  export function getProxyForUrl(url: string | URL): string
}
