/** Where each protocol of the simulator streams. */
export const streamPaths = ['/v1/chat/completions', '/v1/messages', '/v2/chat', '/api/chat']
