# The daemon in an image, built without a network from what `make wheels` gathers:
#
#   make wheels && docker build --tag trackflowd .
#
# BASE must hold the Python the wheels were gathered with, with venv; what is shown here fits Python 3.11. Data lies in
# the volume /var/lib/trackflow; options come from the environment (TRACKFLOW_SECTION_KEY) or from a file mounted into
# the container. docs/stack.md has more.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
COPY dist/wheels /wheels
RUN python3 -m venv /opt/trackflow \
    && /opt/trackflow/bin/pip install --quiet --no-cache-dir --no-compile --no-index --find-links /wheels --require-hashes -r /wheels/requirements.txt \
    && /opt/trackflow/bin/pip uninstall --quiet --yes pip \
    && /opt/trackflow/bin/python -m compileall -q -j 0 /opt/trackflow/lib

FROM ${BASE}
# A number of its own, so that a volume keeps its owner whatever the base image counts.
RUN echo 'trackflow:x:8470:' >> /etc/group \
    && echo 'trackflow:x:8470:8470::/var/lib/trackflow:/usr/sbin/nologin' >> /etc/passwd \
    && install -d -m 0700 -o 8470 -g 8470 /var/lib/trackflow
COPY --from=build /opt/trackflow /opt/trackflow
# Events from everywhere; the admin listener, which asks no token of its own machine, stays in the container.
ENV PATH=/opt/trackflow/bin:$PATH \
    TRACKFLOW_DAEMON_DATA_DIR=/var/lib/trackflow \
    TRACKFLOW_HTTP_LISTEN=0.0.0.0:8080 \
    TRACKFLOW_ADMIN_LISTEN=127.0.0.1:8081
USER trackflow
VOLUME /var/lib/trackflow
EXPOSE 8080
# The daemon drains: it answers what it has begun, stores what it can, keeps the rest in its volume. Give it the time:
# docker stop --time 60.
STOPSIGNAL SIGTERM
# Alive, not "can deliver": a store that is away is no reason to restart who holds the events.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 CMD ["/opt/trackflow/bin/python", "-c", "import http.client, os; c = http.client.HTTPConnection(os.environ['TRACKFLOW_ADMIN_LISTEN'], timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["trackflowd"]
CMD ["run"]
