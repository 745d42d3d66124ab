# An image FROM scratch: one static program, the authorities of the Web's certificates (for webhooks, and NATS servers elsewhere), and
# directories for volumes. It runs as a user without a name and without rights.
#
#   docker build -t knell .                                   # from source: needs Docker only
#   deploy/image dist/knell_v1.0.0_linux_amd64/knell knell    # around a program that is built already: deploy/Dockerfile.prebuilt

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN go run ./internal/release -program /out/knell -version "$VERSION" && mkdir /out/empty

FROM scratch
ENV KNELL_DATA=/data KNELL_LISTEN=0.0.0.0:8080
EXPOSE 8080
STOPSIGNAL SIGTERM
USER 65532:65532
ENTRYPOINT ["/usr/bin/knell"]
CMD ["serve"]
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /out/empty /data
COPY --from=build --chown=65532:65532 /out/empty /identity
COPY --from=build --chown=65532:65532 /out/empty /audit
COPY --from=build /out/knell /usr/bin/knell
