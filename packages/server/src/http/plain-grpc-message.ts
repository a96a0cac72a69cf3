const MESSAGE = "grpc-message";

/**
 * Writes the error message in gRPC's trailers as its specification has it: only what is not printable, and the percent sign, is
 * encoded. Connect encodes all that a URL would, and clients that decode no more than a URI (@grpc/grpc-js) show `name%3A`.
 */
export function plainGrpcMessage(trailers: Headers): void {
  const message = trailers.get(MESSAGE);
  if (message !== null) trailers.set(MESSAGE, plain(decodeURIComponent(message)));
}

function plain(text: string): string {
  // Spaces at the ends of a header's value don't arrive.
  return text.replaceAll(/[^ -$&-~]+|^ +| +$/gu, encodeURIComponent);
}
