"""OpenTelemetry GenAI spans: OTLP protobuf and OTLP JSON → spans; spans joined to their request → native fields."""
