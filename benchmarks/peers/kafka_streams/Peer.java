import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.processor.TimestampExtractor;

/**
 * Kafka Streams: a windowed aggregate on RocksDB with its changelog, with its cache, told of updates; one thread.
 *
 * <p>The whole topic twice in one process: a million events are a few seconds, in which Java still compiles. What is
 * measured is the second time.
 */
public final class Peer {
  record Event(long when, long inputTokens, long outputTokens, String ip) {}

  record Sum(long events, long inputTokens, long outputTokens, long first, long last, List<String> ips) {
    static final Sum NONE = new Sum(0, 0, 0, Long.MAX_VALUE, Long.MIN_VALUE, List.of());

    Sum with(Event event) {
      List<String> all = ips;
      if (!ips.contains(event.ip)) {
        all = new ArrayList<>(ips);
        all.add(event.ip);
      }
      return new Sum(
          events + 1, inputTokens + event.inputTokens, outputTokens + event.outputTokens, Math.min(first, event.when),
          Math.max(last, event.when), all);
    }
  }

  private static final JsonFactory JSON = new JsonFactory();

  static Event event(String topic, byte[] bytes) {
    long when = 0;
    long inputTokens = 0;
    long outputTokens = 0;
    String ip = "";
    try (JsonParser parser = JSON.createParser(bytes)) {
      parser.nextToken();
      while (parser.nextToken() == JsonToken.FIELD_NAME) {
        String name = parser.currentName();
        parser.nextToken();
        switch (name) {
          case "timestamp" -> {
            Instant at = Instant.parse(parser.getText());
            when = at.getEpochSecond() * 1_000_000 + at.getNano() / 1000;
          }
          case "input_tokens" -> inputTokens = parser.getLongValue();
          case "output_tokens" -> outputTokens = parser.getLongValue();
          case "ip" -> ip = parser.getText();
          default -> parser.skipChildren();
        }
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return new Event(when, inputTokens, outputTokens, ip);
  }

  static byte[] bytes(String topic, Sum sum) {
    if (sum == null) {
      return null;
    }
    byte[] ips = String.join(" ", sum.ips).getBytes(StandardCharsets.UTF_8);
    return ByteBuffer.allocate(40 + ips.length)
        .putLong(sum.events).putLong(sum.inputTokens).putLong(sum.outputTokens).putLong(sum.first).putLong(sum.last)
        .put(ips).array();
  }

  static Sum sum(String topic, byte[] bytes) {
    if (bytes == null) {
      return null;
    }
    ByteBuffer read = ByteBuffer.wrap(bytes);
    long[] five = {read.getLong(), read.getLong(), read.getLong(), read.getLong(), read.getLong()};
    String ips = new String(bytes, 40, bytes.length - 40, StandardCharsets.UTF_8);
    return new Sum(five[0], five[1], five[2], five[3], five[4], List.of(ips.split(" ")));
  }

  /** Event time. */
  public static final class When implements TimestampExtractor {
    @Override
    public long extract(ConsumerRecord<Object, Object> record, long partitionTime) {
      return ((Event) record.value()).when / 1000;
    }
  }

  public static void main(String[] arguments) throws Exception {
    run("warm", false);
    run("job", true);
    System.exit(0);
  }

  private static void run(String application, boolean counts) throws Exception {
    Map<String, String> told = System.getenv();
    CountDownLatch ends = new CountDownLatch(Integer.parseInt(told.get("PARTITIONS")));
    AtomicBoolean begun = new AtomicBoolean();
    Map<Windowed<String>, String> rows = new ConcurrentHashMap<>(); // what was told last holds
    Serializer<Event> never = (topic, event) -> null;
    Deserializer<Event> reads = Peer::event;
    Serde<Event> events = Serdes.serdeFrom(never, reads);
    Serializer<Sum> writesSum = Peer::bytes;
    Deserializer<Sum> readsSum = Peer::sum;
    Serde<Sum> sums = Serdes.serdeFrom(writesSum, readsSum);
    StreamsBuilder builder = new StreamsBuilder();
    builder
        .stream(told.get("TOPIC"), Consumed.with(Serdes.String(), events))
        .peek((account, event) -> {
          if (counts && !begun.get() && begun.compareAndSet(false, true)) {
            System.out.println("begin");
          }
          if (account.startsWith("end_")) {
            ends.countDown();
          }
        })
        .groupByKey(Grouped.with(Serdes.String(), events))
        .windowedBy(TimeWindows.ofSizeWithNoGrace(Duration.ofMinutes(1)))
        .aggregate(() -> Sum.NONE, (account, event, sum) -> sum.with(event), Materialized.with(Serdes.String(), sums))
        .toStream()
        .foreach((window, sum) -> rows.put(
            window,
            "%s,%d,%d,%d,%d,%d,%d,%d".formatted(
                window.key(), window.window().start() * 1000, sum.events, sum.inputTokens, sum.outputTokens,
                sum.ips.size(), sum.first, sum.last)));
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application + "-" + told.get("RUN"));
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, told.get("BOOTSTRAP"));
    settings.put(StreamsConfig.STATE_DIR_CONFIG, Path.of(told.get("SCRATCH"), application).toString());
    settings.put(StreamsConfig.DEFAULT_TIMESTAMP_EXTRACTOR_CLASS_CONFIG, When.class);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
    settings.put("auto.offset.reset", "earliest");
    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    streams.start();
    ends.await();
    streams.close(Duration.ofSeconds(60)); // what is cached goes through
    if (counts) {
      System.out.println("end");
    }
    try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(Path.of(told.get("OUT"))))) {
      out.println("account_id,window,events,input_tokens,output_tokens,ips,first,last");
      rows.values().forEach(out::println);
    }
  }
}
