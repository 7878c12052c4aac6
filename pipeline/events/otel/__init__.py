"""OpenTelemetry GenAI spans: OTLP protobuf and OTLP JSON → spans; spans joined to the request they served → native fields."""
