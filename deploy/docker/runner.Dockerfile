# The agent-runner. From the repository's root:
#   docker build -f deploy/docker/runner.Dockerfile -t stigmer/agent-runner .
# Without a registry: a BASE_IMAGE that has Node, tini and git, and a BUILD_IMAGE that has pnpm and its store besides. What
# an image has already is not fetched.
ARG BASE_IMAGE=node:24-bookworm-slim
ARG BUILD_IMAGE=${BASE_IMAGE}

# The same in both Dockerfiles up to the next empty line, so that whoever builds both builds this once.
FROM ${BUILD_IMAGE} AS build
ARG PNPM_VERSION=12.21.0
ENV CI=1 pnpm_config_verify_deps_before_run=false
RUN command -v pnpm || npm install --global pnpm@${PNPM_VERSION}
WORKDIR /build
COPY . .
# By the lockfile alone, and no package runs a script of its own. The server starts no runner here: its packages stay out.
# One step, which takes away what it needed on its way: a layer of two gigabytes is slow to keep.
RUN deploy() { pnpm --filter "$1" --prod deploy --ignore-scripts --config.inject-workspace-packages=true "$2"; } \
  && pnpm install --frozen-lockfile --ignore-scripts --filter stigmer-monorepo --filter @stigmer/cli... \
  && pnpm --filter @stigmer/cli... run build \
  && deploy @stigmer/cli /deploy/server && node deploy/docker/slim-down.ts /deploy/server @stigmer/agent-runner @stigmer/agent @stigmer/sandbox \
  && deploy @stigmer/agent-runner /deploy/runner && node deploy/docker/slim-down.ts /deploy/runner \
  && rm -rf node_modules

FROM ${BASE_IMAGE}
# git and certificates for the commands of agents in local mode, which run in this container.
RUN { command -v tini && command -v git; } || { apt-get update \
  && apt-get install -y --no-install-recommends tini git ca-certificates && rm -rf /var/lib/apt/lists/*; }
COPY --from=build /deploy/runner /opt/stigmer
COPY deploy/docker/runner-health.ts /opt/stigmer/health.ts
RUN mkdir -m 0700 /var/lib/stigmer && chown 10001:10001 /var/lib/stigmer
# All that is written: this, and /tmp.
VOLUME /var/lib/stigmer
ENV NODE_ENV=production MODE=cloud HOME=/var/lib/stigmer STIGMER_HOME=/var/lib/stigmer STIGMER_RUNNER_HEALTH_PORT=8080
WORKDIR /var/lib/stigmer
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["node", "/opt/stigmer/health.ts"]
# A core file would have every secret in it, and no field of a pod's keeps one from being written.
ENTRYPOINT ["tini", "--", "sh", "-c", "ulimit -c 0; exec node /opt/stigmer/dist/main.js \"$@\"", "stigmer"]
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="stigmer-agent-runner" \
  org.opencontainers.image.description="The worker that executes Stigmer agents." \
  org.opencontainers.image.source="https://github.com/stigmer/stigmer" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
