# Builds the wheel and installs it with its pinned packages into a folder of their own.
FROM python:3.13-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/novate
WORKDIR /src
COPY requirements/ requirements/
RUN /opt/novate/bin/pip install --no-cache-dir --require-hashes --requirement requirements/runtime.txt
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes --requirement requirements/build.txt
COPY . .
RUN /opt/build/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /wheels . \
    && /opt/novate/bin/pip install --no-cache-dir --no-deps /wheels/*.whl

# Runs it: Python, the packages, and nothing that compiles.
FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="Novate" \
      org.opencontainers.image.description="An exchange and clearing house in a box" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --system --gid 10001 novate \
    && useradd --system --uid 10001 --gid novate --home-dir /var/lib/novate --no-create-home novate \
    && install --directory --owner novate --group novate --mode 0750 /var/lib/novate
COPY --from=build /opt/novate /opt/novate
ENV PATH=/opt/novate/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    NOVATE_HOST=0.0.0.0 \
    NOVATE_PORT=8000 \
    NOVATE_DATA_DIR=/var/lib/novate \
    NOVATE_LOG_FORMAT=json
USER novate
WORKDIR /var/lib/novate
VOLUME ["/var/lib/novate"]
EXPOSE 8000
STOPSIGNAL SIGTERM
# A reply that isn't 2xx raises, and so exits non-zero: 503 is unhealthy.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"NOVATE_PORT\"]}/healthz', timeout=4)"]
ENTRYPOINT ["novate"]
CMD ["serve"]
