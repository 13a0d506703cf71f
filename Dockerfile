# zeekml as a container: docker build --tag zeekml:local .
# It runs without root, without capabilities and on a read-only root; see deploy/compose.yaml.

FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY zeekml zeekml
COPY rules rules
COPY deploy deploy
RUN python -m venv /opt/zeekml \
    && /opt/zeekml/bin/pip install --no-cache-dir --disable-pip-version-check . \
    && /opt/zeekml/bin/python -m compileall -q /opt/zeekml/lib

FROM python:3.12-slim
# a number that no package takes; logs must be readable for it or for a group given with group_add
RUN groupadd --gid 10001 zeekml \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/zeekml \
        --shell /usr/sbin/nologin zeekml \
    && install -d -o zeekml -g zeekml -m 0700 /var/lib/zeekml /var/cache/zeekml \
    && install -d -o zeekml -g zeekml -m 0750 /var/log/zeekml \
    && install -d -m 0755 /etc/zeekml
COPY --from=build /opt/zeekml /opt/zeekml
ENV PATH=/opt/zeekml/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/var/cache/zeekml
WORKDIR /var/lib/zeekml
USER 10001:10001
STOPSIGNAL SIGTERM
# the first start compiles for half a minute or longer
HEALTHCHECK --interval=5m --timeout=30s --start-period=10m --retries=3 \
    CMD ["zeekml", "check", "--out", "/var/log/zeekml", "--state", "/var/lib/zeekml"]
ENTRYPOINT ["zeekml"]
CMD ["watch", "--out", "/var/log/zeekml", "--state", "/var/lib/zeekml"]
