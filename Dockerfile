# zeekml as a container: docker build --tag zeekml:local .
# It runs without root, without capabilities and on a read-only root; see deploy/compose.yaml.

FROM python:3.12-slim AS build
# what compiles zeekml stays in this stage, whichever version it is
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY zeekml zeekml
COPY rules rules
COPY deploy deploy
RUN python -m venv /opt/zeekml \
    && /opt/zeekml/bin/pip install --no-cache-dir --disable-pip-version-check '.[sign]' \
    && /opt/zeekml/bin/python -m compileall -q /opt/zeekml/lib

FROM python:3.12-slim
# a number that no package takes; logs must be readable for it or for a group given with group_add
RUN groupadd --gid 10001 zeekml \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/zeekml \
        --shell /usr/sbin/nologin zeekml \
    && install -d -o zeekml -g zeekml -m 0700 /var/lib/zeekml \
    && install -d -o zeekml -g zeekml -m 0750 /var/log/zeekml \
    && install -d -m 0755 /etc/zeekml
COPY --from=build /opt/zeekml /opt/zeekml
ENV PATH=/opt/zeekml/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/zeekml
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5m --timeout=30s --start-period=2m --retries=3 \
    CMD ["zeekml", "check", "--out", "/var/log/zeekml", "--state", "/var/lib/zeekml"]
ENTRYPOINT ["zeekml"]
CMD ["watch", "--out", "/var/log/zeekml", "--state", "/var/lib/zeekml"]
