# syntax=docker/dockerfile:1
# The control plane: `docker build --file docker/control-plane.Dockerfile --tag tidegate-control-plane:dev .`
# For both architectures: `docker buildx build --platform linux/amd64,linux/arm64 …`; each is compiled on a machine, or an emulation, of its own.
FROM --platform=$TARGETPLATFORM rust:1.95-bookworm AS build
ARG TARGETARCH
WORKDIR /source
COPY . .
# The caches are not part of any layer; one for each architecture, for what they hold is not the same.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/source/target,id=target-$TARGETARCH,sharing=locked \
    cargo build --locked --release --package tidegate-control-plane && \
    install -D --mode=0755 target/release/tidegate-control-plane /image/tidegate-control-plane

# The C library, certificates of the usual authorities, time zones, and no shell. What goes in besides is one program.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /image/tidegate-control-plane /tidegate-control-plane
USER 65532:65532
EXPOSE 8080 9000
ENTRYPOINT ["/tidegate-control-plane"]
