output "devices" {
  value = 2 * provider::sky::parse_accelerators("A100:8").count # 16
}
