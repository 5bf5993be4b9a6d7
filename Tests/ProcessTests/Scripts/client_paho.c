/* Eclipse Paho C in the client matrix; the contract is in client_harness.py.
 *
 * cc client_paho.c -lpaho-mqtt3cs
 */
#include <MQTTClient.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MILLISECONDS = 20000, BACKLOG = 100, SHARED = 60, LARGE = 1 << 20, OPEN_MAX_CLIENTS = 16 };

static const char *url, *prefix;
static int is_v5;
static jmp_buf failed;
static char failure[512];
/* Closed at the end of a feature, also of one that failed. */
static MQTTClient open_clients[OPEN_MAX_CLIENTS];
static int open_count;

#define FAIL(...) fail(__LINE__, __VA_ARGS__)
#define CHECK(condition, ...) do { if (!(condition)) FAIL(__VA_ARGS__); } while (0)

__attribute__((noreturn, format(printf, 2, 3))) static void fail(int line, const char *format, ...) {
    va_list words;
    va_start(words, format);
    int used = vsnprintf(failure, sizeof failure - 32, format, words);
    va_end(words);
    if (used > (int)sizeof failure - 32) used = sizeof failure - 32;
    snprintf(failure + used, 32, " (line %d)", line);
    longjmp(failed, 1);
}

/* One of four texts that are in use at a time. */
__attribute__((format(printf, 1, 2))) static char *text(const char *format, ...) {
    static char texts[4][256];
    static int next;
    char *result = texts[next++ % 4];
    va_list words;
    va_start(words, format);
    vsnprintf(result, sizeof texts[0], format, words);
    va_end(words);
    return result;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

typedef struct {
    MQTTClient handle;
    int session_present;
} Client;

static Client connect_client(const char *name, int is_clean, const char *will) {
    Client client = {0};
    MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
    create.MQTTVersion = is_v5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    int code = MQTTClient_createWithOptions(
        &client.handle, url, text("%s-%s", prefix, name), MQTTCLIENT_PERSISTENCE_NONE, NULL, &create);
    CHECK(code == MQTTCLIENT_SUCCESS, "create %s: %d", url, code);
    CHECK(open_count < OPEN_MAX_CLIENTS, "too many clients");
    open_clients[open_count++] = client.handle;
    MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
    MQTTClient_connectOptions options5 = MQTTClient_connectOptions_initializer5;
    if (is_v5) options = options5;
    options.MQTTVersion = create.MQTTVersion;
    options.connectTimeout = MILLISECONDS / 1000;
    options.reliable = 0;
    options.maxInflightMessages = BACKLOG;
    options.cleansession = is_v5 ? 0 : is_clean;
    options.cleanstart = is_v5 ? is_clean : 0;
    MQTTClient_willOptions last = MQTTClient_willOptions_initializer;
    if (will) {
        last.topicName = text("%s/will", prefix);
        last.message = will;
        last.qos = 1;
        options.will = &last;
    }
    MQTTClient_SSLOptions tls = MQTTClient_SSLOptions_initializer;
    if (getenv("HEADEND_CA")) {
        tls.trustStore = getenv("HEADEND_CA");
        tls.keyStore = getenv("HEADEND_CERTIFICATE");
        tls.privateKey = getenv("HEADEND_KEY");
        tls.verify = 1;
        options.ssl = &tls;
    }
    if (is_v5) {
        MQTTProperties properties = MQTTProperties_initializer;
        MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL};
        expiry.value.integer4 = 300;
        if (!is_clean) MQTTProperties_add(&properties, &expiry);
        MQTTResponse response = MQTTClient_connect5(client.handle, &options, &properties, NULL);
        code = (int)response.reasonCode;
        MQTTResponse_free(response);
        MQTTProperties_free(&properties);
    } else {
        code = MQTTClient_connect(client.handle, &options);
    }
    CHECK(code == 0, "connect: %d %s", code, MQTTClient_strerror(code) ? MQTTClient_strerror(code) : "");
    client.session_present = options.returned.sessionPresent;
    return client;
}

static void disconnect_client(Client client) {
    int code = is_v5 ? MQTTClient_disconnect5(client.handle, 1000, MQTTREASONCODE_SUCCESS, NULL)
                     : MQTTClient_disconnect(client.handle, 1000);
    CHECK(code == 0, "disconnect: %d", code);
}

static void subscribe(Client client, const char *filter, int qos) {
    int granted;
    if (is_v5) {
        MQTTResponse response = MQTTClient_subscribe5(client.handle, filter, qos, NULL, NULL);
        granted = (int)response.reasonCode;
        MQTTResponse_free(response);
    } else {
        granted = MQTTClient_subscribe(client.handle, filter, qos);
        /* The library answers 0 for any success of 3.1.1. */
        if (granted == MQTTCLIENT_SUCCESS) granted = qos;
    }
    CHECK(granted == qos, "granted for %s: %d", filter, granted);
}

/* Without waiting for the acknowledgement. */
static MQTTClient_deliveryToken send_message(Client client, const char *topic, MQTTClient_message *message) {
    MQTTClient_deliveryToken token = 0;
    int code;
    if (is_v5) {
        MQTTResponse response = MQTTClient_publishMessage5(client.handle, topic, message, &token);
        code = (int)response.reasonCode;
        MQTTResponse_free(response);
    } else {
        code = MQTTClient_publishMessage(client.handle, topic, message, &token);
    }
    CHECK(code == 0, "publish to %s: %d", topic, code);
    return token;
}

static void wait_for(Client client, MQTTClient_deliveryToken token) {
    int code = MQTTClient_waitForCompletion(client.handle, token, MILLISECONDS);
    CHECK(code == 0, "acknowledgement: %d", code);
}

static void publish_message(Client client, const char *topic, MQTTClient_message *message) {
    MQTTClient_deliveryToken token = send_message(client, topic, message);
    if (message->qos > 0) wait_for(client, token);
}

static void publish(Client client, const char *topic, const char *payload, int qos, int is_retained) {
    MQTTClient_message message = MQTTClient_message_initializer;
    message.payload = (void *)payload;
    message.payloadlen = (int)strlen(payload);
    message.qos = qos;
    message.retained = is_retained;
    publish_message(client, topic, &message);
}

/* The numbers from 0 on, at QoS 1 or at 1 and 2 in turn; the library takes 0.1 s for each wait. */
static void publish_numbers(Client client, const char *topic, int count, int qos_max) {
    MQTTClient_deliveryToken tokens[BACKLOG];
    for (int number = 0; number < count; number++) {
        MQTTClient_message message = MQTTClient_message_initializer;
        message.payload = text("%d", number);
        message.payloadlen = (int)strlen(message.payload);
        message.qos = 1 + number % qos_max;
        tokens[number] = send_message(client, topic, &message);
    }
    for (int number = 0; number < count; number++) wait_for(client, tokens[number]);
}

/* The next message; NULL after `milliseconds` without one. To be freed with `done`. */
static MQTTClient_message *receive(Client client, int milliseconds, char **topic) {
    MQTTClient_message *message = NULL;
    int length = 0;
    double end = seconds() + milliseconds / 1e3;
    do {
        int code = MQTTClient_receive(client.handle, topic, &length, &message, (unsigned long)milliseconds);
        CHECK(code == MQTTCLIENT_SUCCESS || code == MQTTCLIENT_TOPICNAME_TRUNCATED, "receive: %d", code);
    } while (!message && seconds() < end);
    return message;
}

static void done(MQTTClient_message *message, char *topic) {
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
}

static void expect(Client client, const char *topic, const char *payload, int qos, int is_retained) {
    char *name = NULL;
    MQTTClient_message *message = receive(client, MILLISECONDS, &name);
    CHECK(message, "%s did not come", topic);
    CHECK(strcmp(name, topic) == 0, "topic %s instead of %s", name, topic);
    CHECK(
        message->payloadlen == (int)strlen(payload) && memcmp(message->payload, payload, strlen(payload)) == 0,
        "%s: %.*s instead of %s", topic, message->payloadlen > 80 ? 80 : message->payloadlen,
        (char *)message->payload, payload);
    CHECK(message->qos == qos, "%s: QoS %d instead of %d", topic, message->qos, qos);
    CHECK(message->retained == is_retained, "%s: retained %d", topic, message->retained);
    done(message, name);
}

static int number_of(MQTTClient_message *message) {
    char digits[16] = {0};
    CHECK(message->payloadlen < (int)sizeof digits, "%d bytes", message->payloadlen);
    memcpy(digits, message->payload, (size_t)message->payloadlen);
    return atoi(digits);
}

static const char *try_qos(void) {
    Client sender = connect_client("sender", 1, NULL);
    for (int wanted = 0; wanted < 3; wanted++) {
        Client receiver = connect_client(text("receiver%d", wanted), 1, NULL);
        subscribe(receiver, text("%s/qos/#", prefix), wanted);
        for (int given = 0; given < 3; given++) {
            char *topic = text("%s/qos/%d", prefix, given), *payload = text("%d%d", wanted, given);
            publish(sender, topic, payload, given, 0);
            expect(receiver, topic, payload, given < wanted ? given : wanted, 0);
        }
        disconnect_client(receiver);
    }
    disconnect_client(sender);
    return NULL;
}

static const char *try_retained(void) {
    Client sender = connect_client("sender", 1, NULL), receiver = connect_client("receiver", 1, NULL);
    publish(sender, text("%s/retained", prefix), "kept", 1, 1);
    subscribe(receiver, text("%s/retained", prefix), 1);
    expect(receiver, text("%s/retained", prefix), "kept", 1, 1);
    publish(sender, text("%s/retained", prefix), "", 1, 1);
    expect(receiver, text("%s/retained", prefix), "", 1, 0);
    return NULL;
}

static const char *try_will(void) {
    Client watcher = connect_client("watcher", 1, NULL);
    subscribe(watcher, text("%s/will", prefix), 1);
    disconnect_client(connect_client("polite", 1, "polite"));
    fflush(stdout);
    /* A process of its own, whose end is the connection's. */
    char *program[] = {"/proc/self/exe", (char *)url, is_v5 ? "5.0" : "3.1.1", (char *)prefix, "cut", NULL};
    pid_t child = fork();
    CHECK(child >= 0, "fork");
    if (child == 0) {
        execv(program[0], program);
        _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 9, "the one that is cut: status %d", status);
    expect(watcher, text("%s/will", prefix), "cut", 1, 0);
    return NULL;
}

static const char *cut(void) {
    connect_client("cut", 1, "cut");
    _exit(9);
}

static const char *try_resume(void) {
    disconnect_client(connect_client("resumed", 1, NULL));
    Client receiver = connect_client("resumed", 0, NULL);
    CHECK(!receiver.session_present, "a new client has a session");
    subscribe(receiver, text("%s/resume", prefix), 2);
    disconnect_client(receiver);
    Client sender = connect_client("sender", 1, NULL);
    char topic_name[256];
    snprintf(topic_name, sizeof topic_name, "%s/resume", prefix);
    publish_numbers(sender, topic_name, BACKLOG, 2);
    receiver = connect_client("resumed", 0, NULL);
    /* The library does not tell with MQTT 5. */
    CHECK(receiver.session_present || is_v5, "no session after the pause");
    int next[2] = {0, 1};
    for (int count = 0; count < BACKLOG; count++) {
        char *topic = NULL;
        MQTTClient_message *message = receive(receiver, MILLISECONDS, &topic);
        CHECK(message, "%d of %d messages", count, BACKLOG);
        int number = number_of(message);
        CHECK(number == next[number % 2], "%d instead of %d", number, next[number % 2]);
        next[number % 2] += 2;
        done(message, topic);
    }
    disconnect_client(receiver);
    disconnect_client(connect_client("resumed", 1, NULL));
    return NULL;
}

static const char *try_large(void) {
    Client sender = connect_client("sender", 1, NULL), receiver = connect_client("receiver", 1, NULL);
    subscribe(receiver, text("%s/large", prefix), 1);
    unsigned char *payload = malloc(LARGE);
    CHECK(payload, "no memory");
    for (int index = 0; index < LARGE; index++) payload[index] = (unsigned char)index;
    MQTTClient_message message = MQTTClient_message_initializer;
    message.payload = payload;
    message.payloadlen = LARGE;
    message.qos = 1;
    double start = seconds();
    publish_message(sender, text("%s/large", prefix), &message);
    char *topic = NULL;
    MQTTClient_message *got = receive(receiver, MILLISECONDS, &topic);
    CHECK(got, "it did not come");
    CHECK(got->payloadlen == LARGE && memcmp(got->payload, payload, LARGE) == 0, "it came back another");
    /* The aim is a second; the machine of a test may be busy. */
    CHECK(seconds() - start < 5, "1 MiB took %.1f s", seconds() - start);
    done(got, topic);
    free(payload);
    return NULL;
}

static const char *try_shared(void) {
    Client sender = connect_client("sender", 1, NULL);
    Client members[2] = {connect_client("member0", 1, NULL), connect_client("member1", 1, NULL)};
    for (int member = 0; member < 2; member++) subscribe(members[member], text("$share/g/%s/shared", prefix), 1);
    char topic_name[256];
    snprintf(topic_name, sizeof topic_name, "%s/shared", prefix);
    publish_numbers(sender, topic_name, SHARED, 1);
    int counts[2] = {0, 0}, seen[SHARED] = {0};
    double end = seconds() + MILLISECONDS / 1e3;
    while (counts[0] + counts[1] < SHARED && seconds() < end) {
        for (int member = 0; member < 2; member++) {
            char *topic = NULL;
            MQTTClient_message *message = receive(members[member], 10, &topic);
            if (!message) continue;
            int number = number_of(message);
            CHECK(number >= 0 && number < SHARED && !seen[number], "%d came twice", number);
            seen[number] = 1;
            counts[member]++;
            done(message, topic);
        }
    }
    CHECK(counts[0] + counts[1] == SHARED, "%d of %d messages", counts[0] + counts[1], SHARED);
    CHECK(counts[0] > 0 && counts[1] > 0, "a member had nothing");
    return NULL;
}

static const char *try_request(void) {
    if (!is_v5) return "3.1.1 has no response topic";
    Client answerer = connect_client("answerer", 1, NULL), asker = connect_client("asker", 1, NULL);
    subscribe(answerer, text("%s/request", prefix), 1);
    subscribe(asker, text("%s/answer", prefix), 1);
    MQTTClient_message message = MQTTClient_message_initializer;
    char *answer_topic = text("%s/answer", prefix);
    MQTTProperty response = {.identifier = MQTTPROPERTY_CODE_RESPONSE_TOPIC};
    response.value.data.data = answer_topic;
    response.value.data.len = (int)strlen(answer_topic);
    MQTTProperty correlation = {.identifier = MQTTPROPERTY_CODE_CORRELATION_DATA};
    correlation.value.data.data = "\1\0\377";
    correlation.value.data.len = 3;
    MQTTProperties_add(&message.properties, &response);
    MQTTProperties_add(&message.properties, &correlation);
    message.payload = "ask";
    message.payloadlen = 3;
    message.qos = 1;
    publish_message(asker, text("%s/request", prefix), &message);
    MQTTProperties_free(&message.properties);

    char *topic = NULL;
    MQTTClient_message *got = receive(answerer, MILLISECONDS, &topic);
    CHECK(got, "the request did not come");
    MQTTProperty *where = MQTTProperties_getProperty(&got->properties, MQTTPROPERTY_CODE_RESPONSE_TOPIC);
    MQTTProperty *which = MQTTProperties_getProperty(&got->properties, MQTTPROPERTY_CODE_CORRELATION_DATA);
    CHECK(where && which, "a property is missing");
    MQTTClient_message answer = MQTTClient_message_initializer;
    MQTTProperties_add(&answer.properties, which);
    answer.payload = "ask!";
    answer.payloadlen = 4;
    answer.qos = 1;
    publish_message(
        answerer, text("%.*s", where->value.data.len, where->value.data.data), &answer);
    MQTTProperties_free(&answer.properties);
    done(got, topic);

    got = receive(asker, MILLISECONDS, &topic);
    CHECK(got, "the answer did not come");
    which = MQTTProperties_getProperty(&got->properties, MQTTPROPERTY_CODE_CORRELATION_DATA);
    CHECK(
        which && which->value.data.len == 3 && memcmp(which->value.data.data, "\1\0\377", 3) == 0,
        "another correlation");
    CHECK(got->payloadlen == 4 && memcmp(got->payload, "ask!", 4) == 0, "another answer");
    done(got, topic);
    return NULL;
}

static const char *try_telemetry(void) {
    Client sender = connect_client("sender", 1, NULL);
    /* The last one is at QoS 1: what was sent at QoS 0 before it has come when it is acknowledged. */
    for (int index = 0; index <= 10; index++) {
        int number = index == 10 ? 5 : index % 5;
        publish(
            sender, text("devices/%s/telemetry", prefix),
            text("{\"id\":\"%s-%d\",\"value\":%d}", prefix, number, number), index == 10 ? 1 : number % 3, 0);
    }
    return NULL;
}

static const struct {
    const char *name;
    const char *(*run)(void);
} features[] = {
    {"qos", try_qos},       {"retained", try_retained}, {"will", try_will},       {"resume", try_resume},
    {"large", try_large},   {"shared", try_shared},     {"request", try_request}, {"telemetry", try_telemetry},
    {"cut", cut},
};

int main(int count, char **words) {
    if (count < 4) return 2;
    url = words[1];
    is_v5 = strcmp(words[2], "5.0") == 0;
    prefix = words[3];
    MQTTClient_init_options init = MQTTClient_init_options_initializer;
    init.do_openssl_init = 1;
    MQTTClient_global_init(&init);
    for (int index = 4; index < count; index++) {
        for (size_t known = 0; known < sizeof features / sizeof features[0]; known++) {
            if (strcmp(features[known].name, words[index]) != 0) continue;
            if (setjmp(failed) == 0) {
                const char *why_not = features[known].run();
                if (why_not) printf("none %s: %s\n", words[index], why_not);
                else printf("ok %s\n", words[index]);
            } else {
                printf("FAILED %s: %s\n", words[index], failure);
            }
            fflush(stdout);
        }
        while (open_count > 0) {
            MQTTClient handle = open_clients[--open_count];
            if (MQTTClient_isConnected(handle)) MQTTClient_disconnect(handle, 100);
            MQTTClient_destroy(&handle);
        }
    }
    return 0;
}
