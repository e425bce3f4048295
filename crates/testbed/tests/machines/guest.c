/* SPDX-License-Identifier: Apache-2.0 */
/* What busybox has not: a UDP service and its client, for the guest of the virtual machine test.
 *
 *   udp serve PORT...          answers every datagram with itself
 *   udp ask SOURCE HOST PORT   sends one from SOURCE, and says `heard` when it comes back in time */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORTS_MAX 8
#define PATIENCE_MS 1500

static int udp_at(const char *address, const char *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || inet_pton(AF_INET, address, &at.sin_addr) != 1 ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at))) {
		perror("bind");
		exit(2);
	}
	return fd;
}

static int serve(int n, char **ports)
{
	struct pollfd fds[PORTS_MAX];
	struct sockaddr_in from;
	char text[512];

	if (n > PORTS_MAX)
		return 2;
	for (int i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = udp_at("0.0.0.0", ports[i]), .events = POLLIN };
	while (poll(fds, n, -1) > 0) {
		for (int i = 0; i < n; i++) {
			socklen_t size = sizeof(from);

			if (!(fds[i].revents & POLLIN))
				continue;
			ssize_t got = recvfrom(fds[i].fd, text, sizeof(text), 0,
					       (struct sockaddr *)&from, &size);
			if (got >= 0)
				sendto(fds[i].fd, text, got, 0, (struct sockaddr *)&from, size);
		}
	}
	return 2;
}

static int ask(const char *source, const char *host, const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
	struct pollfd wait = { .fd = udp_at(source, "0"), .events = POLLIN };

	inet_pton(AF_INET, host, &to.sin_addr);
	sendto(wait.fd, "knock", 5, 0, (struct sockaddr *)&to, sizeof(to));
	if (poll(&wait, 1, PATIENCE_MS) != 1)
		return 1;
	puts("heard");
	return 0;
}

int main(int n, char **words)
{
	if (n > 2 && !strcmp(words[1], "serve"))
		return serve(n - 2, words + 2);
	if (n == 5 && !strcmp(words[1], "ask"))
		return ask(words[2], words[3], words[4]);
	return 2;
}
