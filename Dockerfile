FROM node:22-slim AS web
WORKDIR /build/frontend
COPY frontend/package.json frontend/package-lock.json ./
RUN npm ci
COPY frontend ./
RUN npm run build

FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 NUMBA_CACHE_DIR=/var/cache/headwater
WORKDIR /srv/headwater
COPY requirements/run.txt requirements/run.txt
RUN pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY LICENSE ./
COPY graph graph
COPY app app
COPY --from=web /build/app/http/static app/http/static
# A named volume takes the owner of the folder it is first mounted on.
RUN useradd --system --uid 10001 headwater && install -d -o headwater /data /var/cache/headwater
USER headwater
RUN python -m graph.warming
VOLUME /data
EXPOSE 8321
ENTRYPOINT ["python", "-m", "app"]
