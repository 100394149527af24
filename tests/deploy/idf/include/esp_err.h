#pragma once
using esp_err_t = int;
#define ESP_ERROR_CHECK(call) do { if ((call) != 0) { __builtin_abort(); } } while (0)
