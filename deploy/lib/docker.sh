# Shell functions for scripts that use Docker. Source it after common.sh.

# The client. One of the distribution comes with what a client elsewhere in PATH may lack (buildx).
DOCKER=docker
[ ! -x /usr/bin/docker ] || DOCKER=/usr/bin/docker

# docker_answers: does a Docker daemon answer within 15 seconds?
docker_answers() { timeout 15 "$DOCKER" info >/dev/null 2>&1; }

# base_image: the name of the image that the cluster's image is made of: this host's release, because the binary needs
# libraries as new as those that it was linked to.
base_image() { echo "${MALLEE_COMPOSE_BASE:-$(. /etc/os-release && echo "$ID:${VERSION_CODENAME:-}")}"; }

# Which cluster: its name, the port of its API on this machine, the first three numbers of its network.
# Not plain `mallee`: a compose file of anybody's in a directory of that name is a project of that name.
PROJECT=${MALLEE_COMPOSE_PROJECT:-mallee-compose} PORT=${MALLEE_COMPOSE_PORT:-8773} NETWORK=${MALLEE_COMPOSE_NETWORK:-172.30.83}

# The name of its image, and the label that all its images keep: one that a newer replaced has no name any more.
PROJECT_IMAGE=mallee-compose/$PROJECT IMAGE_LABEL=mallee.compose.project

# images_of [PROJECT]: ids of the images of that cluster; of all clusters.
images_of() { "$DOCKER" image ls -q --no-trunc --filter "label=$IMAGE_LABEL${1:+=$1}" | sort -u; }

# compose ARGUMENT…: docker-compose 1.29, or the plugin, on the cluster's file.
compose() {
    local file=$ROOT/deploy/compose/docker-compose.yml tool=(docker-compose)
    if "$DOCKER" compose version >/dev/null 2>&1; then tool=("$DOCKER" compose); fi
    MALLEE_COMPOSE_IMAGE=$PROJECT_IMAGE MALLEE_COMPOSE_PORT=$PORT MALLEE_COMPOSE_NETWORK=$NETWORK "${tool[@]}" -p "$PROJECT" -f "$file" "$@"
}

# start_docker DIRECTORY: starts a daemon whose images and log are in DIRECTORY, its socket in a short directory of its
# own. Sets DOCKERD_PID, and DOCKER_HOST for clients; status 1 and the daemon's last words when it cannot run.
start_docker() {
    local deadline=$((SECONDS + 60))
    DOCKERD_RUN=$(mktemp -d /run/mallee-docker.XXXXXX)
    DOCKERD_DATA=$1/data
    rm -rf "$DOCKERD_DATA"
    mkdir -p "$1"
    iptables-save >"$DOCKERD_RUN/firewall" 2>/dev/null || true
    export DOCKER_HOST=unix://$DOCKERD_RUN/docker.sock
    setsid dockerd --data-root "$DOCKERD_DATA" --exec-root "$DOCKERD_RUN/exec" --pidfile "$1/dockerd.pid" -H "$DOCKER_HOST" \
        >"$1/dockerd.log" 2>&1 </dev/null &
    DOCKERD_PID=$!
    until docker_answers; do
        if ! kill -0 "$DOCKERD_PID" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
            say "dockerd does not run here; its last words:"
            tail -n 5 "$1/dockerd.log" | cut -c 1-300 | sed 's/^/    /' >&2
            return 1
        fi
        sleep 0.2
    done
}

# stop_docker: ends the daemon that start_docker started, and takes away its bridge and its rules of the firewall.
stop_docker() {
    local deadline=$((SECONDS + 30)) policy
    [ -n "${DOCKERD_PID:-}" ] || return 0
    kill "$DOCKERD_PID" 2>/dev/null || true
    while kill -0 "$DOCKERD_PID" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.2; done
    kill -KILL "$DOCKERD_PID" 2>/dev/null || true
    wait "$DOCKERD_PID" 2>/dev/null || true
    DOCKERD_PID=
    # Only where no other Docker was here before.
    if ! grep -q '^:DOCKER' "$DOCKERD_RUN/firewall"; then
        ip link delete docker0 2>/dev/null || true
        policy=$(sed -n '/^\*filter/,/^COMMIT/s/^:FORWARD \([A-Z]*\).*/\1/p' "$DOCKERD_RUN/firewall")
        iptables-save -c 2>/dev/null | grep -vE 'DOCKER|docker0' | iptables-restore -c || true
        iptables -P FORWARD "${policy:-ACCEPT}" || true
    fi
    # Nothing of a run that was cut short comes alive at the next one.
    rm -rf "$DOCKERD_RUN" "$DOCKERD_DATA"
}
