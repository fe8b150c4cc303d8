# syntax=docker/dockerfile:1
# Wayside as a container: built in one stage, and little but the program in the other. deploy/verify goes through its steps.
#
#   docker build -t wayside .
#   docker run --rm --network host wayside run --registry zookeeper://127.0.0.1:2181

FROM rust:1.95-slim-bookworm AS build
# What etcd's client is built with.
RUN apt-get update -q && apt-get install -q -y --no-install-recommends protobuf-compiler libprotobuf-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
# What `wayside version` and the metric build_info say: --build-arg WAYSIDE_COMMIT=$(git rev-parse --short HEAD)
ARG WAYSIDE_COMMIT
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    release/build && cp target/release/wayside /wayside

# The C library, the authorities of the system and a user without rights; no shell, and nothing to install more with.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /wayside /usr/local/bin/wayside
COPY config /etc/wayside
# For documentation: both are bound to localhost, which the application shares when it shares the network.
EXPOSE 4140 4141
STOPSIGNAL SIGTERM
# Asked by the program itself. Where admin is at another address, WAYSIDE_ADMIN says so to both.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/wayside", "health", "--ready"]
ENTRYPOINT ["/usr/local/bin/wayside"]
CMD ["run"]
