import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.Map;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/**
 * Apache Flink SQL: a tumbling window over the topic up to its end, heap state, a checkpoint each ten seconds.
 *
 * <p>The whole topic twice in one process: a million events are a few seconds, in which Java still compiles. What is
 * measured is the second time.
 */
public final class Peer {
  private static final String EVENTS =
      """
      create table events (
        `timestamp` timestamp_ltz(6),
        account_id string,
        input_tokens bigint,
        output_tokens bigint,
        ip string,
        moment as cast(`timestamp` as timestamp_ltz(3)), -- watermarks take no finer ones
        watermark for moment as moment
      ) with (
        'connector' = 'kafka',
        'topic' = '%s',
        'properties.bootstrap.servers' = '%s',
        'properties.group.id' = 'flink',
        'scan.startup.mode' = 'earliest-offset',
        'scan.bounded.mode' = 'latest-offset',
        'format' = 'json',
        'json.timestamp-format.standard' = 'ISO-8601'
      )
      """;
  private static final String JOB =
      """
      select
        account_id, window_start, count(*), sum(input_tokens), sum(output_tokens), count(distinct ip),
        min(`timestamp`), max(`timestamp`)
      from tumble(table events, descriptor(moment), interval '1' minute)
      group by account_id, window_start, window_end
      """;

  public static void main(String[] arguments) throws Exception {
    run(false);
    run(true);
    System.exit(0);
  }

  private static void run(boolean counts) throws Exception {
    Map<String, String> told = System.getenv();
    Configuration settings = new Configuration();
    settings.setString("parallelism.default", "2");
    settings.setString("state.backend.type", "hashmap");
    settings.setString("execution.checkpointing.interval", "10 s");
    settings.setString("execution.checkpointing.dir", Path.of(told.get("SCRATCH"), "checkpoints").toUri().toString());
    settings.setString("table.local-time-zone", "UTC");
    settings.setString("pipeline.object-reuse", "true");
    settings.setString("taskmanager.memory.managed.size", "64m");
    settings.setString("rest.port", "0");
    StreamTableEnvironment tables =
        StreamTableEnvironment.create(StreamExecutionEnvironment.getExecutionEnvironment(settings));
    tables.executeSql(EVENTS.formatted(told.get("TOPIC"), told.get("BOOTSTRAP")));
    TableResult result = tables.executeSql(JOB);
    while (result.getJobClient().orElseThrow().getJobStatus().get() != JobStatus.RUNNING) {
      Thread.sleep(10);
    }
    if (counts) {
      System.out.println("begin");
    }
    try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(Path.of(told.get("OUT"))));
        CloseableIterator<Row> rows = result.collect()) {
      out.println("account_id,window,events,input_tokens,output_tokens,ips,first,last");
      while (rows.hasNext()) {
        Row row = rows.next();
        out.printf(
            "%s,%d,%s,%s,%s,%s,%d,%d%n",
            row.getField(0), micros(row.getField(1)), row.getField(2), row.getField(3), row.getField(4),
            row.getField(5), micros(row.getField(6)), micros(row.getField(7)));
      }
      if (counts) {
        System.out.println("end");
      }
    }
  }

  private static long micros(Object moment) {
    Instant at = moment instanceof LocalDateTime local ? local.toInstant(ZoneOffset.UTC) : (Instant) moment;
    return at.getEpochSecond() * 1_000_000 + at.getNano() / 1000;
  }
}
