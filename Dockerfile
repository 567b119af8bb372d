# Builds the gateway, and puts nothing but the binary and public certificates into the image.
# Needs BuildKit (the default since Docker 23) or Buildah, for the cache mounts.
# Before every change .ci/image builds this file and runs the image as it is meant to run.

FROM rust:1.95-bookworm AS build
WORKDIR /build
# The list of what the build reads; .dockerignore lets no more in. `duogate init` carries .env.example inside.
COPY Cargo.toml Cargo.lock build.rs .env.example ./
COPY proto proto
COPY src src
# Caches of different machines' code must not meet.
ARG TARGETARCH
# Cargo trusts file times, and a cached target directory may be younger than the sources that were copied.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=duogate-target-${TARGETARCH},target=/build/target,sharing=locked \
    find build.rs proto src -type f -exec touch {} + \
    && cargo build --release --locked --bin duogate \
    && cp target/release/duogate /usr/local/bin/duogate

FROM debian:bookworm-slim
RUN groupadd --gid 10001 duogate \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin duogate
# The bundle alone: the package brings OpenSSL's programs along, which nothing here calls.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY LICENSE /usr/share/doc/duogate/LICENSE
COPY --from=build /usr/local/bin/duogate /usr/local/bin/duogate
# A duogate.toml that is mounted here is found. The gateway itself writes no file.
WORKDIR /etc/duogate
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 3333 50051
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 CMD ["duogate", "check", "--health"]
ENTRYPOINT ["duogate"]
CMD ["serve"]
